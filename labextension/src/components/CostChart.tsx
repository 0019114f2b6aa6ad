import * as React from 'react';

import { day, isWeekend, longDay, usd, usdRound } from '../format';
import { COST_DAYS } from '../model';
import type { Costs, Money } from '../openapi';
import type { IContext } from './context';
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

/** The last 30 days, in use and idle stacked. Idle is hatched, so that it needs no colour. Point at a
 * day, or use the arrow keys, to read its values. */
export function CostChart(props: {
  costs: Costs;
  /** The same figure as in the totals: the chart and the text beside it must agree. */
  today: Money;
  context: IContext;
}): React.JSX.Element | null {
  const { costs, today, context } = props;
  const { trans } = context;
  const pattern = useUniqueId();
  const days = lastDays(costs, today, context.now());
  const last = days.length - 1;
  const [picked, setPicked] = React.useState<number | null>(null);
  const highest = Math.max(...days.map(each => each.inUse + each.idle));
  if (!(highest > 0)) {
    return null;
  }
  const top = roundUp(highest);
  const step = WIDTH / days.length;
  const scale = HEIGHT / top;
  const shown = days[picked ?? last];
  const pick = (index: number): void =>
    setPicked(Math.min(last, Math.max(0, index)));
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const current = picked ?? last;
    const next = {
      ArrowLeft: current - 1,
      ArrowDown: current - 1,
      ArrowRight: current + 1,
      ArrowUp: current + 1,
      Home: 0,
      End: last
    }[event.key];
    if (next !== undefined) {
      event.preventDefault();
      pick(next);
    }
  };
  const onPoint = (event: React.PointerEvent): void => {
    const box = event.currentTarget.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    pick(Math.floor(share * days.length));
  };
  return (
    <figure className="jp-AutoShutdown-chart">
      <div className="jp-AutoShutdown-plot">
        <div className="jp-AutoShutdown-yAxis" aria-hidden="true">
          <span>{usdRound(top)}</span>
          <span>{usdRound(0)}</span>
        </div>
        <div className="jp-AutoShutdown-plotArea">
          <div
            role="slider"
            tabIndex={0}
            aria-label={trans.__('Cost by day')}
            aria-valuemin={0}
            aria-valuemax={last}
            aria-valuenow={picked ?? last}
            aria-valuetext={shown && readout(shown, context)}
            onKeyDown={onKeyDown}
            onPointerMove={onPoint}
            onPointerLeave={() => setPicked(null)}
            onFocus={() => setPicked(picked ?? last)}
            onBlur={() => setPicked(null)}
          >
            <svg
              viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
              preserveAspectRatio="none"
              aria-hidden="true"
              focusable="false"
            >
              <defs>
                <pattern
                  id={pattern}
                  width="4"
                  height="4"
                  patternUnits="userSpaceOnUse"
                  patternTransform="rotate(45)"
                >
                  <rect
                    className="jp-AutoShutdown-hatchBack"
                    width="4"
                    height="4"
                  />
                  <rect
                    className="jp-AutoShutdown-hatch"
                    width="2"
                    height="4"
                  />
                </pattern>
              </defs>
              {days.map(({ key, inUse, idle }, index) => (
                <g key={key}>
                  {(isWeekend(key) || index === picked) && (
                    <rect
                      className={
                        index === picked
                          ? 'jp-AutoShutdown-picked'
                          : 'jp-AutoShutdown-weekend'
                      }
                      x={index * step - GAP / 2}
                      width={step}
                      height={HEIGHT}
                    />
                  )}
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
          </div>
          <div className="jp-AutoShutdown-axis" aria-hidden="true">
            <span>{day(days[0]?.key ?? '')}</span>
            <span>{trans.__('today')}</span>
          </div>
        </div>
      </div>
      <figcaption>
        {picked === null ? (
          <>
            <span className="jp-AutoShutdown-keyInUse">
              {trans.__('In use')}
            </span>
            <span className="jp-AutoShutdown-keyIdle">{trans.__('Idle')}</span>
            <span className="jp-AutoShutdown-keyWeekend">
              {trans.__('Weekend')}
            </span>
          </>
        ) : (
          shown && readout(shown, context)
        )}
      </figcaption>
    </figure>
  );
}

function readout(shown: IDay, context: IContext): string {
  return context.trans.__(
    '%1: in use %2, idle %3',
    longDay(shown.key),
    usd(shown.inUse),
    usd(shown.idle)
  );
}

/** Each of the last days, including days without cost. */
function lastDays(costs: Costs, today: Money, now: number): IDay[] {
  const rows = new Map<string, Money>(costs.rows.map(row => [row.key, row]));
  const midnight = Math.floor(now / DAY_MS) * DAY_MS;
  return Array.from({ length: COST_DAYS }, (_, index) => {
    const at = new Date(midnight - (COST_DAYS - 1 - index) * DAY_MS);
    const key = at.toISOString().slice(0, 10);
    const row = index === COST_DAYS - 1 ? today : rows.get(key);
    return {
      key,
      inUse: Number(row?.in_use_usd ?? 0),
      idle: Number(row?.idle_usd ?? 0)
    };
  });
}

/** The next round amount for the top of an axis: 1, 2, 2.5 or 5 times a power of ten. */
export function roundUp(amount: number): number {
  const power = 10 ** Math.floor(Math.log10(amount));
  const steps = [1, 2, 2.5, 5, 10].map(each => each * power);
  const top = steps.find(each => each >= amount * 0.999) ?? amount;
  // Cents at the finest.
  return Math.max(0.01, Math.ceil(top * 100 - 1e-6) / 100);
}
