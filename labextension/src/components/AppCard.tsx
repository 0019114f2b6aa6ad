import * as React from 'react';

import {
  countdown,
  duration,
  roughly,
  secondsSince,
  secondsUntil,
  time
} from '../format';
import { endOf, keptAfterPress, markedFor } from '../keeping';
import type { App, Mark } from '../openapi';
import {
  appTitle,
  canAct,
  fileName,
  isCounting,
  reasonSentence
} from '../wording';
import { AppDetails, type IPrice } from './AppDetails';
import type { IContext } from './context';
import { useUniqueId } from './hooks';
import { Notice } from './Notice';
import { StateBadge } from './StateBadge';
import { Ticking } from './Ticking';

/** One app in a few lines: its state, how long it has been idle, and the possible actions. */
export function AppCard(props: {
  app: App;
  /** Its title, distinct from the titles of the other apps. */
  name: string;
  /** Of its instance. */
  price: IPrice | null;
  dryRun: boolean;
  /** Whether deadlines pass without a shutdown because checks have stopped. */
  isStalled: boolean;
  /** The longest keep-alive in seconds; null until it is known. */
  longestKeepAlive: number | null;
  context: IContext;
}): React.JSX.Element {
  const { app, name, price, dryRun, isStalled, longestKeepAlive, context } =
    props;
  const { trans, actions } = context;
  const [error, setError] = React.useState('');
  const [isBusy, setBusy] = React.useState(false);
  const [isOpen, setOpen] = React.useState(false);
  const id = useUniqueId();

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

  const isUp = canAct(app);
  const isKept = isUp && app.kept_until !== null;
  const isIdle = isUp && !isKept && countsIdleTime(app);
  // Then that is what there is to say; what this server would do is in the details.
  const marked = markedFor(app);
  const isMarkFirst =
    marked !== null &&
    (dryRun ||
      isStalled ||
      !isCounting(app) ||
      marked < (endOf(app) ?? marked + 1));
  return (
    <li className="jp-AutoShutdown-app" data-state={app.state}>
      <div className="jp-AutoShutdown-appHeader">
        <h4 tabIndex={-1} title={app.app_name}>
          {appTitle(app)}
        </h4>
        <StateBadge app={app} dryRun={dryRun} trans={trans} />
      </div>
      {(app.error === null || app.state !== 'failed') && !isMarkFirst && (
        <Story
          app={app}
          isIdle={isIdle}
          isCounted={!dryRun && !isStalled}
          context={context}
          undo={
            <button
              type="button"
              className="jp-AutoShutdown-link"
              aria-disabled={isBusy}
              aria-label={trans.__('Undo keeping %1', name)}
              onClick={() => void run(() => actions.endKeepAlive(app))}
            >
              {trans.__('Undo')}
            </button>
          }
        />
      )}
      {isUp && app.mark !== null && (
        <p className="jp-AutoShutdown-marked" title={app.mark.why}>
          {markText(app.mark, isKept, context)}
        </p>
      )}
      {app.error && <ShutdownError app={app} context={context} />}
      <div className="jp-AutoShutdown-actions">
        {isUp && longestKeepAlive !== 0 && (
          <KeepButton
            app={app}
            name={name}
            isKept={isKept}
            longest={longestKeepAlive}
            isBusy={isBusy}
            isMain={marked !== null || (app.state === 'warned' && !dryRun)}
            context={context}
            onClick={() => void run(() => actions.keepLonger(app))}
          />
        )}
        {isUp && !dryRun && (
          <button
            type="button"
            className="jp-AutoShutdown-quiet"
            aria-disabled={isBusy}
            aria-label={trans.__('Shut down %1', name)}
            onClick={() => void run(() => actions.shutDown(app))}
          >
            {trans.__('Shut down')}
          </button>
        )}
        <button
          type="button"
          className="jp-AutoShutdown-quiet jp-AutoShutdown-more"
          aria-expanded={isOpen}
          aria-controls={id}
          title={trans.__('Details')}
          aria-label={trans.__('Details of %1', name)}
          onClick={() => setOpen(!isOpen)}
        >
          <span aria-hidden="true">▾</span>
        </button>
      </div>
      {error && (
        <Notice kind="error" trans={trans}>
          {error}
        </Notice>
      )}
      <div id={id} hidden={!isOpen}>
        {isOpen && (
          <AppDetails
            app={app}
            name={name}
            price={price}
            isWhyTold={!isKept && !isIdle && !isMarkFirst}
            longestKeepAlive={isUp ? longestKeepAlive : 0}
            context={context}
            keep={end => void run(() => actions.keepAlive(app, end))}
            isBusy={isBusy}
          />
        )}
      </div>
    </li>
  );
}

/** "Keep 1 h", or "+1 h" once it is kept: the main button shortly before a shutdown. */
function KeepButton(props: {
  app: App;
  name: string;
  isKept: boolean;
  longest: number | null;
  isBusy: boolean;
  isMain: boolean;
  context: IContext;
  onClick: () => void;
}): React.JSX.Element {
  const { app, name, isKept, longest, isBusy, isMain, context } = props;
  const { trans } = context;
  const now = context.now();
  const until = keptAfterPress(app, now, longest);
  const isMost = until === null;
  return (
    <button
      type="button"
      className={isMain ? 'jp-AutoShutdown-main' : undefined}
      aria-disabled={isBusy || isMost}
      title={
        isMost
          ? trans.__(
              'It is kept for as long as your administrator allows: %1.',
              duration(longest ?? 0, trans)
            )
          : trans.__('Keep it until %1', time(until, now))
      }
      aria-label={
        isKept
          ? trans.__('Keep %1 another hour', name)
          : trans.__('Keep %1 for 1 h', name)
      }
      onClick={isMost ? undefined : props.onClick}
    >
      {isKept ? trans.__('+1 h') : trans.__('Keep 1 h')}
    </button>
  );
}

/** Whether the idle time is all there is to say. */
function countsIdleTime(app: App): boolean {
  return (
    app.idle_since !== null && app.reason !== 'busy_too_long' && isCounting(app)
  );
}

/** One line: how long it has been idle, out of its idle limit; or else why it is up. */
function Story(props: {
  app: App;
  isIdle: boolean;
  /** Whether it is shut down at its deadline. */
  isCounted: boolean;
  context: IContext;
  /** Takes a keep-alive back. */
  undo: React.ReactNode;
}): React.JSX.Element {
  const { app, isIdle, isCounted, context, undo } = props;
  const { trans } = context;
  const { idle_since, shutdown_at } = app;
  const end = endOf(app);
  if (canAct(app) && app.kept_until !== null) {
    return (
      <div className="jp-AutoShutdown-idle">
        <span>{trans.__('Kept until %1', time(end ?? 0, context.now()))}</span>
        {undo}
      </div>
    );
  }
  if (!isIdle || idle_since === null) {
    return (
      <p
        className={app.state === 'busy' ? 'jp-AutoShutdown-clamped' : undefined}
        title={app.subject || undefined}
      >
        <Ticking
          context={context}
          text={now => reasonSentence(app, now, trans, fileName)}
        />
      </p>
    );
  }
  // Without an open browser, the limit counts from when it was closed, not from the last use.
  const isClosed = app.limit === 'closed_idle_timeout';
  const limit = app.idle_timeout * 1000;
  const from =
    isClosed && shutdown_at !== null
      ? Date.parse(shutdown_at) - limit
      : Date.parse(idle_since);
  const share = Math.min(1, Math.max(0, (context.now() - from) / limit));
  return (
    <>
      <p className="jp-AutoShutdown-idle">
        <span>
          <Ticking
            context={context}
            text={now =>
              isClosed
                ? trans.__(
                    'Idle %1, no browser open',
                    roughly(secondsSince(idle_since, now), trans)
                  )
                : trans.__(
                    'Idle %1 of %2',
                    roughly(secondsSince(idle_since, now), trans),
                    duration(app.idle_timeout, trans)
                  )
            }
          />
        </span>
        {end !== null && isCounted && (
          <span className="jp-AutoShutdown-left">
            <Ticking
              context={context}
              text={now =>
                trans.__(
                  '%1 left',
                  countdown(
                    secondsUntil(new Date(end).toISOString(), now),
                    trans
                  )
                )
              }
            />
          </span>
        )}
      </p>
      <div className="jp-AutoShutdown-meter" aria-hidden="true">
        <div style={{ width: `${(share * 100).toFixed(1)}%` }} />
      </div>
    </>
  );
}

/** A note that a fleet has marked it. The fleet checks for a keep-alive again before it acts. */
function markText(mark: Mark, isKept: boolean, context: IContext): string {
  const { trans } = context;
  const at = time(Date.parse(mark.shutdown_at), context.now());
  return isKept
    ? trans.__(
        'The fleet\'s rule "%1" may still shut this down at %2.',
        mark.rule,
        at
      )
    : trans.__('The fleet\'s rule "%1" shuts this down at %2.', mark.rule, at);
}

/** Why the last attempt to shut it down failed, and what to do about it. */
function ShutdownError(props: {
  app: App;
  context: IContext;
}): React.JSX.Element {
  const { app, context } = props;
  const { trans } = context;
  const { error } = app;
  const retryAt = error?.retry_at ?? null;
  // The remedy names the missing right; once is enough.
  const message = error?.iam_action
    ? trans.__('SageMaker refused the shutdown (%1).', error.code)
    : error?.message;
  return (
    <Notice
      kind="error"
      trans={trans}
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
      {message} {error?.remedy}
    </Notice>
  );
}
