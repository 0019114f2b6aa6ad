import * as React from 'react';

import { duration, percent, usd } from '../format';
import type { Costs, Money, Totals } from '../openapi';
import { CostChart } from './CostChart';
import type { IContext } from './context';

/** What was spent, how much of it idle, and what was avoided. */
export function CostSummary(props: {
  totals: Totals | null;
  costs: Costs | null;
  context: IContext;
}): React.JSX.Element {
  const { totals, costs, context } = props;
  const { trans } = context;
  return (
    <section aria-label={trans.__('Costs')}>
      <h3>{trans.__('Costs')}</h3>
      {totals === null ? (
        <p className="jp-AutoShutdown-empty">
          {trans.__('Nothing is recorded yet.')}
        </p>
      ) : (
        <>
          <table className="jp-AutoShutdown-costs">
            <thead>
              <tr>
                <td />
                <th scope="col">{trans.__('Cost')}</th>
                <th scope="col">{trans.__('Idle')}</th>
              </tr>
            </thead>
            <tbody>
              <Row label={trans.__('Today')} money={totals.today} />
              <Row label={trans.__('This month')} money={totals.month} />
              <Row
                label={trans.__('Last 30 days')}
                money={totals.last_30_days}
              />
            </tbody>
          </table>
          <Avoided totals={totals} context={context} />
          <Remarks totals={totals} context={context} />
          {costs !== null && <CostChart costs={costs} context={context} />}
        </>
      )}
    </section>
  );
}

function Row(props: { label: string; money: Money }): React.JSX.Element {
  const { label, money } = props;
  return (
    <tr>
      <th scope="row">{label}</th>
      <td>
        {money.estimated && '≈ '}
        {usd(money.usd)}
      </td>
      <td>{money.idle_share === null ? '–' : percent(money.idle_share)}</td>
    </tr>
  );
}

/** What shutting down has saved: never mixed with what was really spent. */
function Avoided(props: {
  totals: Totals;
  context: IContext;
}): React.JSX.Element | null {
  const { totals, context } = props;
  const { trans } = context;
  const { today, last_30_days } = totals;
  if (Number(last_30_days.avoided_usd) === 0) {
    return null;
  }
  return (
    <p>
      {trans.__(
        'Avoided by shutting down (an estimate): ≈ %1 today, ≈ %2 in 30 days.',
        usd(today.avoided_usd),
        usd(last_30_days.avoided_usd)
      )}
    </p>
  );
}

/** What the sums leave out or guess. */
function Remarks(props: {
  totals: Totals;
  context: IContext;
}): React.JSX.Element {
  const { totals, context } = props;
  const { trans } = context;
  // A month may be longer than 30 days.
  const estimated = Object.values(totals).some(money => money.estimated);
  const money = totals.last_30_days;
  return (
    <div className="jp-AutoShutdown-hint">
      {Number(money.volume_usd) > 0 && (
        <p>
          {trans.__(
            'Disk of the space: %1 in 30 days, not included.',
            usd(money.volume_usd)
          )}
        </p>
      )}
      {estimated && (
        <p>{trans.__('≈ Part of it was not seen, but reconstructed.')}</p>
      )}
      {money.unpriced_seconds > 0 && (
        <p>
          {trans.__(
            'Without %1 of instances that have no known price.',
            duration(money.unpriced_seconds, trans)
          )}
        </p>
      )}
      <p>{trans.__('Days are days in UTC.')}</p>
    </div>
  );
}
