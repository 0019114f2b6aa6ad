import * as React from 'react';

import { day, percent, usd } from '../format';
import { COST_DAYS } from '../model';
import type { Costs } from '../openapi';
import type { IContext } from './context';
import { CostTable } from './CostTable';
import { useUniqueId } from './hooks';

const WIDTH = 300;
const HEIGHT = 64;
const GAP = 2;
const DAY_MS = 86_400_000;

export interface IDay {
  key: string;
  inUse: number;
  idle: number;
}

/** The last 30 days, in use and idle stacked. Idle is hatched, so that it needs no colour. */
export function CostChart(props: {
  costs: Costs;
  context: IContext;
}): React.JSX.Element | null {
  const { costs, context } = props;
  const { trans } = context;
  const pattern = useUniqueId();
  const days = lastDays(costs, context.now());
  const highest = Math.max(...days.map(each => each.inUse + each.idle));
  if (!(highest > 0)) {
    return null;
  }
  const step = WIDTH / days.length;
  const scale = HEIGHT / highest;
  return (
    <figure className="jp-AutoShutdown-chart">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={summary(costs, days, highest, context)}
      >
        <defs>
          <pattern
            id={pattern}
            width="4"
            height="4"
            patternUnits="userSpaceOnUse"
            patternTransform="rotate(45)"
          >
            <rect className="jp-AutoShutdown-hatchBack" width="4" height="4" />
            <rect className="jp-AutoShutdown-hatch" width="2" height="4" />
          </pattern>
        </defs>
        {days.map(({ key, inUse, idle }, index) => (
          <g key={key}>
            <title>
              {trans.__(
                '%1: in use %2, idle %3',
                day(key),
                usd(inUse),
                usd(idle)
              )}
            </title>
            {/* The whole column can be pointed at, however low its bar. */}
            <rect
              x={index * step}
              width={step}
              height={HEIGHT}
              fill="transparent"
            />
            <rect
              className="jp-AutoShutdown-inUse"
              x={index * step}
              y={HEIGHT - inUse * scale}
              width={step - GAP}
              height={inUse * scale}
            />
            <rect
              fill={`url(#${pattern})`}
              x={index * step}
              y={HEIGHT - (inUse + idle) * scale}
              width={step - GAP}
              height={idle * scale}
            />
          </g>
        ))}
      </svg>
      <div className="jp-AutoShutdown-axis" aria-hidden="true">
        <span>{day(days[0]?.key ?? '')}</span>
        <span>{trans.__('highest day: %1', usd(highest))}</span>
        <span>{day(days[days.length - 1]?.key ?? '')}</span>
      </div>
      <figcaption>
        <span className="jp-AutoShutdown-keyInUse">{trans.__('In use')}</span>
        <span className="jp-AutoShutdown-keyIdle">{trans.__('Idle')}</span>
      </figcaption>
      <CostTable days={days} context={context} />
    </figure>
  );
}

/** Each of the last days, those of no cost as well. */
function lastDays(costs: Costs, now: number): IDay[] {
  const rows = new Map(costs.rows.map(row => [row.key, row]));
  const today = Math.floor(now / DAY_MS) * DAY_MS;
  return Array.from({ length: COST_DAYS }, (_, index) => {
    const at = new Date(today - (COST_DAYS - 1 - index) * DAY_MS);
    const key = at.toISOString().slice(0, 10);
    const row = rows.get(key);
    return {
      key,
      inUse: Number(row?.in_use_usd ?? 0),
      idle: Number(row?.idle_usd ?? 0)
    };
  });
}

function summary(
  costs: Costs,
  days: readonly IDay[],
  highest: number,
  context: IContext
): string {
  const { trans } = context;
  const top = days.find(each => each.inUse + each.idle === highest);
  return trans.__(
    'Cost of the last 30 days: %1, of which %2 idle. The highest day was %3 with %4.',
    usd(costs.total.usd),
    percent(costs.total.idle_share ?? 0),
    day(top?.key ?? ''),
    usd(highest)
  );
}
