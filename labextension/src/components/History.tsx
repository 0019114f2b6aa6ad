import * as React from 'react';

import { duration, moment, time, usd } from '../format';
import type { App, Event } from '../openapi';
import { titleOfEvent } from '../wording';
import type { IContext } from './context';

/** The number of events shown at first. */
const FEW = 3;
const MANY = 20;

/** The latest events, one line each. */
export function History(props: {
  events: readonly Event[];
  apps: readonly App[];
  context: IContext;
}): React.JSX.Element | null {
  const { events, apps, context } = props;
  const { trans } = context;
  const [all, setAll] = React.useState(false);
  const now = context.now();
  const lines = worthALine(events)
    .slice(0, MANY)
    .map(event => ({ event, text: whatHappened(event, apps, now, context) }));
  if (lines.length === 0) {
    return null;
  }
  return (
    <section aria-label={trans.__('What happened')}>
      <h3 tabIndex={-1}>{trans.__('What happened')}</h3>
      <ul className="jp-AutoShutdown-history">
        {lines.slice(0, all ? MANY : FEW).map(({ event, text }) => (
          <li key={`${event.at} ${event.app_name} ${event.kind}`}>
            <time dateTime={event.at}>{moment(Date.parse(event.at), now)}</time>
            {' · '}
            {text}
          </li>
        ))}
      </ul>
      {lines.length > FEW && (
        <button
          type="button"
          className="jp-AutoShutdown-link"
          aria-expanded={all}
          onClick={() => setAll(!all)}
        >
          {all ? trans.__('Show less') : trans.__('Show more')}
        </button>
      )}
    </section>
  );
}

/** Without events that only lead up to another one, or repeat it. */
function worthALine(events: readonly Event[]): Event[] {
  const shown = events.filter(({ kind }) =>
    ['shutdown', 'failure', 'keep_alive', 'keep_alive_ended'].includes(kind)
  );
  return shown.filter((event, index) => {
    const later = shown[index - 1];
    return (
      event.kind === 'shutdown' ||
      later?.kind !== event.kind ||
      later.app_name !== event.app_name
    );
  });
}

function whatHappened(
  event: Event,
  apps: readonly App[],
  now: number,
  context: IContext
): string {
  const { trans } = context;
  const name = titleOfEvent(event, apps);
  switch (event.kind) {
    case 'shutdown': {
      const done =
        event.reason === 'user_request'
          ? trans.__('%1 shut down by you', name)
          : typeof event.idle_seconds === 'number'
            ? trans.__(
                '%1 shut down after %2 idle',
                name,
                duration(
                  event.idle_seconds < 60
                    ? event.idle_seconds
                    : Math.round(event.idle_seconds / 60) * 60,
                  trans
                )
              )
            : trans.__('%1 shut down', name);
      return Number(event.avoided_usd ?? 0) >= 0.005
        ? trans.__('%1, about %2 saved', done, usd(event.avoided_usd ?? 0))
        : done;
    }
    case 'failure':
      return trans.__('%1 could not be shut down', name);
    case 'keep_alive':
      return event.shutdown_at === null
        ? trans.__('%1 kept', name)
        : trans.__(
            '%1 kept until %2',
            name,
            time(Date.parse(event.shutdown_at), now)
          );
    case 'keep_alive_ended':
      return trans.__('%1 no longer kept', name);
    default:
      return event.message;
  }
}
