import * as React from 'react';

import { answerOf, shortAnswer } from '../answer';
import type { IEnd } from '../ending';
import { time } from '../format';
import { timerIcon } from '../icon';
import type { App, Status } from '../openapi';
import type { Connection } from '../tokens';
import { distinctTitle, endText, hourlyCost } from '../wording';
import type { IContext } from './context';
import { useTicking } from './hooks';

type Context = Pick<IContext, 'trans' | 'ticker' | 'now'>;

/** What happens next and the hourly cost, in short. A click opens or closes the panel. */
export function StatusBarView(props: {
  status: Status;
  connection: Connection;
  ended: IEnd | null;
  /** Whether an app can be kept at all. */
  mayKeep: boolean;
  context: Context;
  toggle: () => void;
  keep: (app: App) => void;
}): React.JSX.Element {
  const { status, connection, ended, mayKeep, context, toggle, keep } = props;
  const { trans, ticker, now } = context;
  const answer = answerOf(status);
  const said = useTicking(ticker, () =>
    ended === null
      ? shortAnswer(answer, now(), trans)
      : trans.__('Shut down %1', time(ended.at, now()))
  );
  const cost = ended === null ? hourlyCost(status.instances, trans) : '';
  const isWrong =
    ended === null &&
    (connection !== 'connected' ||
      status.check_overdue ||
      status.problems.length > 0 ||
      status.apps.some(app => app.error !== null));
  const isSoon = ended === null && answer.kind === 'warned';
  const sentences =
    ended !== null
      ? [endText(ended, now(), trans)]
      : [
          isWrong &&
            trans.__('Something is wrong; open the panel to see what.'),
          answer.at !== null && answer.app !== null
            ? trans.__(
                answer.kind === 'kept'
                  ? '%1 is kept until %2.'
                  : '%1 will be shut down at %2.',
                distinctTitle(answer.app, status.apps, trans),
                time(answer.at, now())
              )
            : `${shortAnswer(answer, now(), trans)}.`,
          cost && trans.__('Cost now: %1.', cost)
        ].filter(Boolean);
  return (
    <div className="jp-AutoShutdown-statusItem">
      <button
        type="button"
        className="jp-AutoShutdown-statusBar"
        data-kind={isWrong ? 'error' : isSoon ? 'warning' : 'normal'}
        title={sentences.join('\n')}
        aria-label={[trans.__('SageMaker AutoShutdown:'), ...sentences].join(
          ' '
        )}
        onClick={toggle}
      >
        <timerIcon.react tag="span" height="14px" width="14px" />
        <span>
          {isWrong && <strong aria-hidden="true">! </strong>}
          {[said, cost].filter(Boolean).join(' · ')}
        </span>
      </button>
      {isSoon && mayKeep && answer.app !== null && (
        <button
          type="button"
          className="jp-AutoShutdown-statusBar jp-AutoShutdown-statusBarKeep"
          title={trans.__('Keep 1 h')}
          aria-label={trans.__(
            'Keep %1 for 1 h',
            distinctTitle(answer.app, status.apps, trans)
          )}
          onClick={() => answer.app !== null && keep(answer.app)}
        >
          {trans.__('+1 h')}
        </button>
      )}
    </div>
  );
}
