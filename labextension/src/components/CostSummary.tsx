import * as React from 'react';

import { duration, usd } from '../format';
import { infoIcon } from '../icon';
import type { Costs, Money, Totals } from '../openapi';
import { CostChart } from './CostChart';
import type { IContext } from './context';
import { useUniqueId } from './hooks';

/** The avoided cost first, then the cost and its idle part. */
export function CostSummary(props: {
  totals: Totals | null;
  costs: Costs | null;
  context: IContext;
}): React.JSX.Element {
  const { totals, costs, context } = props;
  const { trans } = context;
  const [isOpen, setOpen] = React.useState(false);
  const id = useUniqueId();
  const saved = Number(totals?.last_30_days.avoided_usd ?? 0);
  return (
    <section aria-label={trans.__('Costs')}>
      <div className="jp-AutoShutdown-header">
        <h3 tabIndex={-1}>{trans.__('Costs')}</h3>
        {totals !== null && (
          <button
            type="button"
            className="jp-ToolbarButtonComponent jp-mod-minimal jp-Button jp-AutoShutdown-iconButton"
            aria-expanded={isOpen}
            aria-controls={id}
            title={trans.__('About these figures')}
            aria-label={trans.__('About these figures')}
            onClick={() => setOpen(!isOpen)}
          >
            <infoIcon.react tag="span" height="14px" width="14px" />
          </button>
        )}
      </div>
      {totals === null ? (
        <p className="jp-AutoShutdown-empty">
          {trans.__('Nothing is recorded yet.')}
        </p>
      ) : (
        <>
          <div id={id} hidden={!isOpen}>
            {isOpen && <Remarks totals={totals} context={context} />}
          </div>
          {saved >= 0.005 && (
            <p className="jp-AutoShutdown-saved">
              {trans.__('About %1 saved in 30 days', usd(saved))}
            </p>
          )}
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
          {costs !== null && (
            <CostChart costs={costs} today={totals.today} context={context} />
          )}
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
      <td>{Number(money.usd) > 0 ? usd(money.idle_usd) : '–'}</td>
    </tr>
  );
}

/** What the totals leave out or estimate. */
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
    <ul className="jp-AutoShutdown-hint jp-AutoShutdown-remarks">
      <li>{trans.__('Idle: nothing ran on the instance. Days are in UTC.')}</li>
      <li>
        {trans.__(
          'Saved: an estimate of what the instances would have cost if they were still running.'
        )}
      </li>
      {estimated && (
        <li>{trans.__('≈ Some of this was estimated, not observed.')}</li>
      )}
      {money.unpriced_seconds > 0 && (
        <li>
          {trans.__(
            'Not included: %1 of instances that have no known price.',
            duration(money.unpriced_seconds, trans)
          )}
        </li>
      )}
      {Number(money.volume_usd) > 0 && (
        <li>
          {trans.__(
            'Not included: the disk of the space, %1 in 30 days.',
            usd(money.volume_usd)
          )}
        </li>
      )}
    </ul>
  );
}
