import * as React from 'react';

import { duration, time } from '../format';
import type { KeepAliveEnd } from '../tokens';
import type { IContext } from './context';
import { useUniqueId } from './hooks';

const HOUR = 3600;

/** "Keep until…", as far as the administrator allows. */
export function KeepUntil(props: {
  name: string;
  /** In seconds; null until it is known. */
  longest: number | null;
  context: IContext;
  keep: (end: KeepAliveEnd) => void;
  isBusy: boolean;
}): React.JSX.Element {
  const { name, longest, context, keep, isBusy } = props;
  const { trans } = context;
  const [choosing, setChoosing] = React.useState(false);
  const openerRef = React.useRef<HTMLButtonElement>(null);

  /** The form closes with its own buttons. */
  const closeForm = (): void => {
    setChoosing(false);
    openerRef.current?.focus();
  };

  return (
    <>
      <button
        type="button"
        ref={openerRef}
        className="jp-AutoShutdown-link"
        aria-disabled={isBusy}
        aria-expanded={choosing}
        aria-label={trans.__('Keep %1 until a time', name)}
        onClick={() => setChoosing(!choosing)}
      >
        {trans.__('Keep until…')}
      </button>
      {choosing && (
        <UntilForm
          context={context}
          longest={longest ?? Infinity}
          onChosen={until => {
            closeForm();
            keep({ until });
          }}
          onCancel={closeForm}
        />
      )}
    </>
  );
}

function UntilForm(props: {
  context: IContext;
  longest: number;
  onChosen: (until: Date) => void;
  onCancel: () => void;
}): React.JSX.Element {
  const { context, longest, onChosen, onCancel } = props;
  const { trans } = context;
  const now = context.now();
  const latest = now + longest * 1000;
  const suggested = Math.min(now + 2 * HOUR * 1000, latest);
  const [value, setValue] = React.useState(localMinute(suggested));
  const [error, setError] = React.useState('');
  const id = useUniqueId();
  const inputRef = React.useRef<HTMLInputElement>(null);

  React.useEffect(() => inputRef.current?.focus(), []);

  const submit = (event: React.FormEvent): void => {
    event.preventDefault();
    const until = new Date(value);
    const at = until.getTime();
    if (!(at > context.now())) {
      setError(trans.__('Choose a time in the future.'));
    } else if (at > latest) {
      setError(
        trans.__(
          'Your administrator allows %1 at most: until %2.',
          duration(longest, trans),
          time(latest, now)
        )
      );
    } else {
      onChosen(until);
    }
  };

  return (
    <form className="jp-AutoShutdown-until" noValidate onSubmit={submit}>
      <label htmlFor={id}>{trans.__('Keep until')}</label>
      <input
        id={id}
        ref={inputRef}
        type="datetime-local"
        required
        value={value}
        min={localMinute(now)}
        {...(Number.isFinite(latest) && { max: localMinute(latest) })}
        aria-invalid={error !== ''}
        aria-describedby={error ? `${id}-error` : undefined}
        onChange={event => {
          setError('');
          setValue(event.target.value);
        }}
        onKeyDown={event => {
          if (event.key === 'Escape') {
            onCancel();
          }
        }}
      />
      <button type="submit">{trans.__('Keep')}</button>
      <button type="button" onClick={onCancel}>
        {trans.__('Cancel')}
      </button>
      {error && (
        <div id={`${id}-error`} role="alert" className="jp-AutoShutdown-error">
          {error}
        </div>
      )}
    </form>
  );
}

/** In the format of a `datetime-local` input, in the user's own time zone. */
function localMinute(at: number): string {
  const local = new Date(at - new Date(at).getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}
