import * as React from 'react';

import { day, usd } from '../format';
import type { IDay } from './CostChart';
import type { IContext } from './context';

/** The chart in figures, for keyboards, screen readers and touch: days of cost, latest first. */
export function CostTable(props: {
  days: readonly IDay[];
  context: Pick<IContext, 'trans'>;
}): React.JSX.Element {
  const { days, context } = props;
  const { trans } = context;
  const shown = days.filter(({ inUse, idle }) => inUse + idle > 0).reverse();
  return (
    <details>
      <summary>{trans.__('Day by day')}</summary>
      <table className="jp-AutoShutdown-costs">
        <thead>
          <tr>
            <th scope="col">{trans.__('Day')}</th>
            <th scope="col">{trans.__('In use')}</th>
            <th scope="col">{trans.__('Idle')}</th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ key, inUse, idle }) => (
            <tr key={key}>
              <th scope="row">{day(key)}</th>
              <td>{usd(inUse)}</td>
              <td>{usd(idle)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
