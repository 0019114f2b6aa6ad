import * as React from 'react';

import { RequestError } from '../client';
import { duration } from '../format';
import type {
  OptionalSecondsSetting,
  SecondsSetting,
  Settings,
  SettingsChange,
  SwitchSetting
} from '../openapi';
import type { IContext } from './context';
import { useUniqueId } from './hooks';
import { Notice } from './Notice';

type Name = keyof SettingsChange;
type Change = (change: SettingsChange) => Promise<void>;

/** The user's limits, within the administrator's bounds. The server stores them. */
export function SettingsForm(props: {
  settings: Settings;
  context: Pick<IContext, 'trans'>;
  change: Change;
}): React.JSX.Element {
  const { settings, context, change } = props;
  const { trans } = context;
  return (
    <section aria-label={trans.__('Limits')}>
      <details className="jp-AutoShutdown-settings">
        <summary>
          <h3>{trans.__('Limits')}</h3>{' '}
          <span className="jp-AutoShutdown-hint">
            {trans.__(
              'idle for %1',
              duration(settings.idle_timeout.value, trans)
            )}
          </span>
        </summary>
        <p className="jp-AutoShutdown-hint">
          {trans.__(
            'The server keeps them. They apply with no browser open, too.'
          )}
        </p>
        <SecondsField
          name="idle_timeout"
          label={trans.__('Idle limit')}
          setting={settings.idle_timeout}
          context={context}
          change={change}
        />
        <SecondsField
          name="closed_idle_timeout"
          label={trans.__('Idle limit with no browser open')}
          setting={settings.closed_idle_timeout}
          context={context}
          change={change}
        />
        <SecondsField
          name="warning_time"
          label={trans.__('Warning before a shutdown')}
          setting={settings.warning_time}
          context={context}
          change={change}
        />
        <SwitchField
          name="keep_terminals"
          label={trans.__('An open terminal counts as use')}
          setting={settings.keep_terminals}
          context={context}
          change={change}
        />
        <SwitchField
          name="ignore_connections"
          label={trans.__('An open browser tab counts as use')}
          setting={settings.ignore_connections}
          isReversed
          context={context}
          change={change}
        />
        <Rules settings={settings} context={context} />
        {!settings.saved && (
          <Notice kind="warning" trans={trans}>
            {trans.__(
              'Your changes apply, but could not be saved: they end when the server restarts.'
            )}
          </Notice>
        )}
        {settings.notes.map(note => (
          <Notice key={note} kind="info" trans={trans}>
            {note}
          </Notice>
        ))}
      </details>
    </section>
  );
}

/** The state of a field: it is being saved, was saved, or was refused. */
function useSaving(
  name: Name,
  change: Change,
  trans: IContext['trans']
): {
  isSaving: boolean;
  error: string;
  said: string;
  setError: (error: string) => void;
  save: (value: number | boolean | null) => Promise<void>;
} {
  const [isSaving, setSaving] = React.useState(false);
  const [error, setErrorText] = React.useState('');
  const [said, setSaid] = React.useState('');
  const setError = (text: string): void => {
    setErrorText(text);
    setSaid('');
  };
  const save = async (value: number | boolean | null): Promise<void> => {
    if (isSaving) {
      return;
    }
    setError('');
    setSaving(true);
    try {
      await change({ [name]: value });
      setSaid(trans.__('Saved'));
    } catch (reason) {
      const refused = reason instanceof RequestError && reason.errors[name];
      const message = reason instanceof Error ? reason.message : String(reason);
      setError(refused || message);
    } finally {
      setSaving(false);
    }
  };
  return { isSaving, error, said, setError, save };
}

/** The units of a time, largest first; in seconds. */
const UNITS = [3600, 60, 1] as const;

function unitOf(seconds: number | null): number {
  return seconds === null
    ? 3600
    : (UNITS.find(unit => seconds >= unit && seconds % unit === 0) ?? 1);
}

function inUnit(seconds: number | null, unit: number): string {
  return seconds === null ? '' : String(seconds / unit);
}

function SecondsField(props: {
  name: 'idle_timeout' | 'closed_idle_timeout' | 'warning_time';
  label: string;
  /** Null means "same as the idle limit": an empty field. */
  setting: SecondsSetting | OptionalSecondsSetting;
  context: Pick<IContext, 'trans'>;
  change: Change;
}): React.JSX.Element {
  const { name, label, setting, context, change } = props;
  const { trans } = context;
  const id = useUniqueId();
  const saving = useSaving(name, change, trans);
  const [unit, setUnit] = React.useState(unitOf(setting.value));
  const [text, setText] = React.useState(inUnit(setting.value, unit));

  const show = (seconds: number | null): void => {
    const fitting = unitOf(seconds);
    setUnit(fitting);
    setText(inUnit(seconds, fitting));
  };
  // Somebody else may have changed it: another tab, or an admin.
  React.useEffect(() => show(setting.value), [setting.value]);

  const bounds = boundsText(setting, trans);
  const isEmpty = text.trim() === '';
  // An optional value may be left out: it is then the idle limit.
  const mayBeEmpty = name === 'closed_idle_timeout';
  const seconds = isEmpty ? NaN : Number(text) * unit;
  const isChanged = isEmpty
    ? setting.value !== null
    : seconds !== setting.value;

  const submit = (event: React.FormEvent): void => {
    event.preventDefault();
    // The server checks every value again.
    const low = setting.min ?? 0;
    const high = setting.max ?? Infinity;
    if (!isChanged) {
      return;
    }
    if (isEmpty && mayBeEmpty) {
      void saving.save(null);
      return;
    }
    if (!(seconds >= low && seconds <= high)) {
      saving.setError(trans.__('Allowed: %1.', bounds));
      return;
    }
    void saving.save(seconds);
  };

  return (
    <form className="jp-AutoShutdown-field" noValidate onSubmit={submit}>
      <label htmlFor={id}>{label}</label>
      <div className="jp-AutoShutdown-inputs">
        <input
          id={id}
          type="number"
          inputMode="decimal"
          step="any"
          min={0}
          value={text}
          disabled={!setting.editable}
          aria-invalid={saving.error !== ''}
          aria-describedby={`${id}-hint ${id}-error`}
          onChange={event => {
            saving.setError('');
            setText(event.target.value);
          }}
        />
        <select
          aria-label={trans.__('Unit of: %1', label)}
          value={unit}
          disabled={!setting.editable}
          onChange={event => {
            saving.setError('');
            setUnit(Number(event.target.value));
          }}
        >
          <option value={3600}>{trans.__('hours')}</option>
          <option value={60}>{trans.__('minutes')}</option>
          <option value={1}>{trans.__('seconds')}</option>
        </select>
        {setting.editable && (
          <button
            type="submit"
            aria-disabled={!isChanged || saving.isSaving}
            aria-label={trans.__('Save: %1', label)}
          >
            {trans.__('Save')}
          </button>
        )}
        <Saved saving={saving} />
      </div>
      <FieldFooter
        id={id}
        hint={
          mayBeEmpty
            ? trans.__('Allowed: %1, or empty for the idle limit.', bounds)
            : trans.__('Allowed: %1.', bounds)
        }
        adminText={
          setting.admin === null
            ? trans.__('as the idle limit')
            : duration(setting.admin, trans)
        }
        setting={setting}
        saving={saving}
        label={label}
        trans={trans}
      />
    </form>
  );
}

function SwitchField(props: {
  name: 'keep_terminals' | 'ignore_connections';
  label: string;
  setting: SwitchSetting;
  /** Whether the label says the opposite of the setting's name. */
  isReversed?: boolean;
  context: Pick<IContext, 'trans'>;
  change: Change;
}): React.JSX.Element {
  const { name, label, setting, isReversed = false, context, change } = props;
  const { trans } = context;
  const id = useUniqueId();
  const saving = useSaving(name, change, trans);
  return (
    <div className="jp-AutoShutdown-field">
      <label className="jp-AutoShutdown-check">
        <input
          type="checkbox"
          checked={setting.value !== isReversed}
          disabled={!setting.editable}
          aria-disabled={saving.isSaving}
          aria-describedby={`${id}-hint ${id}-error`}
          onChange={event =>
            void saving.save(event.target.checked !== isReversed)
          }
        />
        <span>{label}</span>
        <Saved saving={saving} />
      </label>
      <FieldFooter
        id={id}
        hint=""
        adminText={
          setting.admin !== isReversed ? trans.__('yes') : trans.__('no')
        }
        setting={setting}
        saving={saving}
        label={label}
        trans={trans}
      />
    </div>
  );
}

/** Beside a changed field: that it was saved. */
function Saved(props: {
  saving: ReturnType<typeof useSaving>;
}): React.JSX.Element {
  return (
    <span role="status" className="jp-AutoShutdown-hint">
      {props.saving.said}
    </span>
  );
}

/** Below a field: the allowed values and whose value it is, or else why a change was refused. */
function FieldFooter(props: {
  id: string;
  hint: string;
  adminText: string;
  setting: SecondsSetting | OptionalSecondsSetting | SwitchSetting;
  saving: ReturnType<typeof useSaving>;
  label: string;
  trans: IContext['trans'];
}): React.JSX.Element {
  const { id, hint, adminText, setting, saving, label, trans } = props;
  return (
    <>
      <div id={`${id}-hint`} className="jp-AutoShutdown-hint">
        {saving.error === '' && (setting.editable ? hint : setting.why_fixed)}
        {saving.error === '' &&
          setting.source === 'user' &&
          ` ${trans.__("Your administrator's value: %1.", adminText)}`}
      </div>
      {setting.editable && setting.source === 'user' && (
        <button
          type="button"
          className="jp-AutoShutdown-link"
          aria-disabled={saving.isSaving}
          aria-label={trans.__("Use the administrator's value: %1", label)}
          onClick={() => void saving.save(null)}
        >
          {trans.__("Use the administrator's")}
        </button>
      )}
      <div id={`${id}-error`} role="alert" className="jp-AutoShutdown-error">
        {saving.error}
      </div>
    </>
  );
}

function Rules(props: {
  settings: Settings;
  context: Pick<IContext, 'trans'>;
}): React.JSX.Element | null {
  const { settings, context } = props;
  const { trans } = context;
  if (settings.rules.length === 0) {
    return null;
  }
  return (
    <div>
      <h4>{trans.__("Your administrator's limits for some apps")}</h4>
      <ul className="jp-AutoShutdown-rules">
        {settings.rules.map((rule, index) => (
          <li key={index}>
            {[rule.instance_type, rule.owner, rule.app_type]
              .filter(pattern => pattern !== '*')
              .join(', ') || trans.__('all')}
            {': '}
            {duration(rule.idle_timeout, trans)}
          </li>
        ))}
      </ul>
      <p className="jp-AutoShutdown-hint">
        {trans.__(
          'The first match applies. Your own limit can only be shorter.'
        )}
      </p>
    </div>
  );
}

function boundsText(
  setting: SecondsSetting | OptionalSecondsSetting,
  trans: IContext['trans']
): string {
  const { min, max } = setting;
  if (min !== null && max !== null) {
    return trans.__('%1 to %2', duration(min, trans), duration(max, trans));
  }
  if (min !== null) {
    return trans.__('at least %1', duration(min, trans));
  }
  if (max !== null) {
    return trans.__('at most %1', duration(max, trans));
  }
  return trans.__('any time above 0');
}
