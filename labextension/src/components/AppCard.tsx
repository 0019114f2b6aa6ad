import * as React from 'react';

import {
  countdown,
  duration,
  roughly,
  secondsSince,
  secondsUntil,
  time
} from '../format';
import type { App, Work } from '../openapi';
import { appTitle, canAct, kernelStateLabel, reasonSentence } from '../wording';
import type { IContext } from './context';
import { KeepAliveControls } from './KeepAliveControls';
import { Notice } from './Notice';
import { StateBadge } from './StateBadge';
import { Ticking } from './Ticking';

/** One app: its state and why, when it goes, and what can be done about it. */
export function AppCard(props: {
  app: App;
  /** Its title, told apart from those of the others. */
  name: string;
  dryRun: boolean;
  /** The longest keep-alive in seconds; null while it is not known. */
  longestKeepAlive: number | null;
  context: IContext;
}): React.JSX.Element {
  const { app, name, dryRun, longestKeepAlive, context } = props;
  const { trans, actions } = context;
  const [error, setError] = React.useState('');
  const [isBusy, setBusy] = React.useState(false);

  const run = async (action: () => Promise<unknown>): Promise<void> => {
    if (isBusy) {
      return;
    }
    setError('');
    setBusy(true);
    try {
      await action();
    } catch (reason) {
      setError(reason instanceof Error ? reason.message : String(reason));
    } finally {
      setBusy(false);
    }
  };

  return (
    <li className="jp-AutoShutdown-app" data-state={app.state}>
      <div className="jp-AutoShutdown-appHeader">
        <h4 tabIndex={-1}>{appTitle(app, trans)}</h4>
        <StateBadge state={app.state} trans={trans} />
      </div>
      <p>
        <Ticking
          context={context}
          text={now => reasonSentence(app, now, trans)}
        />
      </p>
      <Deadline app={app} dryRun={dryRun} context={context} />
      {canAct(app) && app.kept_until !== null && (
        <div className="jp-AutoShutdown-buttons">
          <span>
            <Ticking
              context={context}
              text={now => keptText(app.kept_until ?? '', now, trans)}
            />
          </span>
          <button
            type="button"
            aria-disabled={isBusy}
            aria-label={trans.__('Undo keeping %1 alive', name)}
            onClick={() => void run(() => actions.endKeepAlive(app))}
          >
            {trans.__('Undo')}
          </button>
        </div>
      )}
      {app.error && <ShutdownError app={app} context={context} />}
      <Details app={app} context={context} />
      {canAct(app) && (
        <div className="jp-AutoShutdown-actions">
          <KeepAliveControls
            app={app}
            name={name}
            longest={longestKeepAlive}
            context={context}
            run={run}
            isBusy={isBusy}
          />
          {!dryRun && (
            <button
              type="button"
              className="jp-AutoShutdown-danger"
              aria-disabled={isBusy}
              aria-label={trans.__('Shut down %1 now', name)}
              onClick={() => void run(() => actions.shutDown(app))}
            >
              {trans.__('Shut down now')}
            </button>
          )}
        </div>
      )}
      {error && (
        <Notice kind="error" trans={trans}>
          {error}
        </Notice>
      )}
    </li>
  );
}

function keptText(
  until: string,
  now: number,
  trans: IContext['trans']
): string {
  return trans.__(
    'Kept alive until %1 (%2).',
    time(Date.parse(until), now),
    countdown(secondsUntil(until, now), trans)
  );
}

/** How long it has been idle, of how long it may be, and when it goes. */
function Deadline(props: {
  app: App;
  dryRun: boolean;
  context: IContext;
}): React.JSX.Element {
  const { app, dryRun, context } = props;
  const { trans } = context;
  const { idle_since, shutdown_at } = app;
  const isUp = canAct(app);
  return (
    <>
      {isUp && idle_since !== null && (
        <IdleTime app={app} idleSince={idle_since} context={context} />
      )}
      {isUp && idle_since === null && (
        <p className="jp-AutoShutdown-hint">
          {trans.__('Idle limit: %1', duration(app.idle_timeout, trans))}
        </p>
      )}
      {isUp && shutdown_at !== null && app.state !== 'failed' && (
        <p className="jp-AutoShutdown-deadline">
          {dryRun
            ? trans.__('Would be shut down in')
            : trans.__('Shuts down in')}{' '}
          <time role="timer" dateTime={shutdown_at}>
            <Ticking
              context={context}
              text={now => countdown(secondsUntil(shutdown_at, now), trans)}
            />
          </time>{' '}
          <span className="jp-AutoShutdown-hint">
            {trans.__('at %1', time(Date.parse(shutdown_at), context.now()))}
          </span>
        </p>
      )}
    </>
  );
}

function IdleTime(props: {
  app: App;
  idleSince: string;
  context: IContext;
}): React.JSX.Element {
  const { app, idleSince, context } = props;
  const { trans, now } = context;
  const share = Math.min(1, secondsSince(idleSince, now()) / app.idle_timeout);
  return (
    <>
      <p className="jp-AutoShutdown-hint">
        <Ticking
          context={context}
          text={at =>
            trans.__(
              'Idle time: %1 of %2',
              roughly(secondsSince(idleSince, at), trans),
              duration(app.idle_timeout, trans)
            )
          }
        />
      </p>
      <div className="jp-AutoShutdown-meter" aria-hidden="true">
        <div style={{ width: `${(share * 100).toFixed(1)}%` }} />
      </div>
    </>
  );
}

/** Why the last attempt to shut it down failed, and what to do. */
function ShutdownError(props: {
  app: App;
  context: IContext;
}): React.JSX.Element {
  const { app, context } = props;
  const { trans } = context;
  const { error } = app;
  const retryAt = error?.retry_at ?? null;
  return (
    <Notice
      kind="error"
      trans={trans}
      iamAction={error?.iam_action}
      aside={
        <>
          {trans._n(
            '%1 attempt failed.',
            '%1 attempts failed.',
            error?.attempts ?? 0
          )}{' '}
          {retryAt !== null && (
            <Ticking
              context={context}
              text={now =>
                trans.__(
                  'The next one is at %1.',
                  time(Date.parse(retryAt), now)
                )
              }
            />
          )}
        </>
      }
    >
      {error?.message}
      <div>{error?.remedy}</div>
    </Notice>
  );
}

/** The kernels and terminals in an app, and its full name. */
function Details(props: { app: App; context: IContext }): React.JSX.Element {
  const { app, context } = props;
  const { trans } = context;
  return (
    <details className="jp-AutoShutdown-work">
      <summary>
        {app.work.length === 0
          ? trans.__('Details')
          : trans._n(
              '%1 kernel or terminal',
              '%1 kernels and terminals',
              app.work.length
            )}
      </summary>
      <p className="jp-AutoShutdown-hint">
        {trans.__('Name: %1', app.app_name)}
      </p>
      <ul>
        {app.work.map(work => (
          <li key={`${work.kind} ${work.id}`}>
            <span className="jp-AutoShutdown-label">{work.label}</span>
            <span className="jp-AutoShutdown-hint">
              <Ticking
                context={context}
                text={now => workDetails(work, now, context)}
              />
            </span>
          </li>
        ))}
      </ul>
    </details>
  );
}

function workDetails(work: Work, now: number, context: IContext): string {
  const { trans } = context;
  const kinds = {
    kernel: trans.__('kernel'),
    terminal: trans.__('terminal'),
    session: trans.__('session without a kernel'),
    process: trans.__('program in the background'),
    gpu: trans.__('GPU'),
    server: trans.__('another Jupyter server'),
    document: trans.__('document'),
    web_app: trans.__('program behind the server')
  };
  const details: string[] = [
    (kinds as Partial<typeof kinds>)[work.kind] ?? work.kind
  ];
  if (work.state) {
    details.push(kernelStateLabel(work.state, trans));
  }
  if (work.background_job) {
    details.push(trans.__('background job'));
  }
  if (work.last_activity !== null && work.state !== 'busy') {
    const ago = roughly(secondsSince(work.last_activity, now), trans);
    details.push(trans.__('last active %1 ago', ago));
  }
  if (work.shared) {
    details.push(trans.__('may belong to another app'));
  }
  return details.join(' · ');
}
