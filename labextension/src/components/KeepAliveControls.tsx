import * as React from 'react';

import { duration, time } from '../format';
import type { App } from '../openapi';
import type { KeepAliveEnd } from '../tokens';
import type { IContext } from './context';
import { useUniqueId } from './hooks';

const HOUR = 3600;
/** What is offered with one press, in seconds. */
const CHOICES = [HOUR, 4 * HOUR];

/** "Keep alive for 1 h, 4 h, until ...", as far as the administrator allows. */
export function KeepAliveControls(props: {
  app: App;
  name: string;
  /** In seconds; null while it is not known. 0 allows none. */
  longest: number | null;
  context: IContext;
  /** Do it, and show what it fails of. */
  run: (action: () => Promise<unknown>) => Promise<void>;
  isBusy: boolean;
}): React.JSX.Element | null {
  const { app, name, longest, context, run, isBusy } = props;
  const { trans, actions } = context;
  const [choosing, setChoosing] = React.useState(false);
  const longestSeconds = longest ?? Infinity;

  const untilRef = React.useRef<HTMLButtonElement>(null);

  const keep = (end: KeepAliveEnd): void => {
    setChoosing(false);
    void run(() => actions.keepAlive(app, end));
  };
  /** The form goes with its own buttons. */
  const closeForm = (): void => {
    setChoosing(false);
    untilRef.current?.focus();
  };

  if (longest === 0) {
    return null;
  }
  return (
    <>
      <div
        role="group"
        aria-label={trans.__('Keep %1 alive', name)}
        className="jp-AutoShutdown-buttons"
      >
        <span aria-hidden="true">{trans.__('Keep for')}</span>
        {CHOICES.filter(choice => choice <= longestSeconds).map(choice => (
          <button
            key={choice}
            type="button"
            aria-disabled={isBusy}
            aria-label={trans.__(
              'Keep %1 alive for %2',
              name,
              duration(choice, trans)
            )}
            onClick={() => keep({ seconds: choice })}
          >
            {duration(choice, trans)}
          </button>
        ))}
        <button
          type="button"
          ref={untilRef}
          aria-disabled={isBusy}
          aria-expanded={choosing}
          aria-label={trans.__('Keep %1 alive until a time', name)}
          onClick={() => setChoosing(!choosing)}
        >
          {trans.__('Until…')}
        </button>
      </div>
      {choosing && (
        <UntilForm
          context={context}
          longest={longestSeconds}
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
      <label htmlFor={id}>{trans.__('Keep alive until')}</label>
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

/** As an input of type `datetime-local` has it, in the user's own time zone. */
function localMinute(at: number): string {
  const local = new Date(at - new Date(at).getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}
