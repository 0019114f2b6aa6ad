import * as React from 'react';

import { duration, roughly, secondsSince, time } from '../format';
import type { App, Work } from '../openapi';
import type { KeepAliveEnd } from '../tokens';
import { canAct, kernelStateLabel, reasonSentence } from '../wording';
import type { IContext } from './context';
import { KeepUntil } from './KeepUntil';
import { Ticking } from './Ticking';

/** The price of an instance, and its source. */
export interface IPrice {
  text: string;
  source: string;
}

/** Details for the few who ask: the reason, open documents, evidence, the price's source, the name. */
export function AppDetails(props: {
  app: App;
  name: string;
  price: IPrice | null;
  /** Whether the card already says why it is up. */
  isWhyTold: boolean;
  longestKeepAlive: number | null;
  context: IContext;
  keep: (end: KeepAliveEnd) => void;
  isBusy: boolean;
}): React.JSX.Element {
  const { app, name, price, isWhyTold, context, keep, isBusy } = props;
  const { longestKeepAlive } = props;
  const { trans } = context;
  return (
    <div className="jp-AutoShutdown-details">
      {!isWhyTold && (
        <p>
          <Ticking
            context={context}
            text={now => reasonSentence(app, now, trans)}
          />
        </p>
      )}
      {app.work.length > 0 && (
        <ul>
          {app.work.map(work => (
            <WorkItem
              key={`${work.kind} ${work.id}`}
              work={work}
              context={context}
            />
          ))}
        </ul>
      )}
      {longestKeepAlive !== 0 && (
        <KeepUntil
          name={name}
          longest={longestKeepAlive}
          context={context}
          keep={keep}
          isBusy={isBusy}
        />
      )}
      <div className="jp-AutoShutdown-hint">
        {canAct(app) && (
          <p>
            {app.limit === 'closed_idle_timeout'
              ? trans.__(
                  'Idle limit: %1, with no browser open',
                  duration(app.idle_timeout, trans)
                )
              : trans.__('Idle limit: %1', duration(app.idle_timeout, trans))}
          </p>
        )}
        {price?.source && <p>{trans.__('Price: %1', price.source)}</p>}
        <p>{trans.__('Name: %1', app.app_name)}</p>
      </div>
    </div>
  );
}

function WorkItem(props: { work: Work; context: IContext }): React.JSX.Element {
  const { work, context } = props;
  const { trans, openDocument } = context;
  const isDocument = /\.[A-Za-z0-9]+$/.test(work.label);
  const opens =
    openDocument !== undefined &&
    isDocument &&
    ['kernel', 'session', 'document'].includes(work.kind);
  return (
    <li>
      {opens ? (
        <button
          type="button"
          className="jp-AutoShutdown-link"
          title={trans.__('Open %1', work.label)}
          onClick={() => openDocument(work.label)}
        >
          {work.label}
        </button>
      ) : (
        <span className="jp-AutoShutdown-label">{work.label}</span>
      )}
      <span className="jp-AutoShutdown-hint">
        <Ticking
          context={context}
          text={now => workDetails(work, now, context)}
        />
      </span>
      {work.evidence.map(seen => (
        <span
          key={`${seen.kind} ${seen.text}`}
          className="jp-AutoShutdown-hint jp-AutoShutdown-evidence"
        >
          {seen.at === null
            ? seen.text
            : trans.__(
                '%1 (%2)',
                seen.text,
                time(Date.parse(seen.at), context.now())
              )}
        </span>
      ))}
    </li>
  );
}

function workDetails(work: Work, now: number, context: IContext): string {
  const { trans } = context;
  // A server of a later version may tell of others.
  const kinds: Partial<Record<string, string>> = {
    kernel: trans.__('kernel'),
    terminal: trans.__('terminal'),
    session: trans.__('session without a kernel'),
    process: trans.__('program in the background'),
    document: trans.__('document'),
    server: trans.__('server'),
    web_app: trans.__('web app'),
    gpu: trans.__('GPU')
  } satisfies Record<Work['kind'], string>;
  const details: string[] = [kinds[work.kind] ?? work.kind];
  if (work.state) {
    details.push(kernelStateLabel(work.state, trans));
  }
  if (work.background_job && work.evidence.length === 0) {
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
