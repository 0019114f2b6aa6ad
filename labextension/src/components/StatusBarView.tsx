import * as React from 'react';

import { countdown, secondsUntil, time, usdPerHour } from '../format';
import { timerIcon } from '../icon';
import type { Status } from '../openapi';
import type { Connection } from '../tokens';
import { distinctTitle, hourlyCost, isUnseen, nextShutdown } from '../wording';
import type { IContext } from './context';
import { useTicking } from './hooks';

type Context = Pick<IContext, 'trans' | 'ticker' | 'now'>;

/** The next shutdown and the cost an hour, short; pressing it opens the panel. */
export function StatusBarView(props: {
  status: Status;
  connection: Connection;
  context: Context;
  open: () => void;
}): React.JSX.Element {
  const { status, connection, context, open } = props;
  const { trans, ticker, now } = context;
  const next = nextShutdown(status);
  const left = useTicking(ticker, () =>
    next === undefined ? '' : countdown(secondsUntil(next.at, now()), trans)
  );
  const { usd, unpriced } = hourlyCost(status.instances);
  const unseen = isUnseen(status);
  const cost = unseen ? '–' : `${usdPerHour(usd, trans)}${unpriced ? '+' : ''}`;
  const isWrong =
    connection !== 'connected' ||
    status.check_overdue ||
    status.problems.length > 0 ||
    status.apps.some(app => app.error !== null);
  const isSoon = next?.app.state === 'warned';
  const sentences = [
    isWrong && trans.__('Something is wrong; open the panel to see what.'),
    next &&
      trans.__(
        '%1 will be shut down at %2.',
        distinctTitle(next.app, status.apps, trans),
        time(Date.parse(next.at), now())
      ),
    unseen
      ? trans.__('It is not known what runs.')
      : unpriced
        ? trans.__(
            'Running costs: %1, and what has no price.',
            usdPerHour(usd, trans)
          )
        : trans.__('Running costs: %1.', cost)
  ].filter(Boolean);
  return (
    <button
      type="button"
      className="jp-AutoShutdown-statusBar"
      data-kind={isWrong ? 'error' : isSoon ? 'warning' : 'normal'}
      title={sentences.join('\n')}
      aria-label={[trans.__('SageMaker AutoShutdown:'), ...sentences].join(' ')}
      onClick={open}
    >
      <timerIcon.react tag="span" height="14px" width="14px" />
      <span>
        {isWrong && <strong aria-hidden="true">! </strong>}
        {next === undefined
          ? cost
          : isSoon
            ? trans.__('Shutdown in %1 · %2', left, cost)
            : trans.__('%1 · %2', left, cost)}
      </span>
    </button>
  );
}
