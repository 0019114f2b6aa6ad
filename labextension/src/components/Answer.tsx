import * as React from 'react';

import { answerOf, headline, nameOf } from '../answer';
import { time, usd } from '../format';
import type { Status } from '../openapi';
import { hourlyCost } from '../wording';
import type { IContext } from './context';
import { Ticking } from './Ticking';

/** What happens next, in large type, and the cost below. The rest of the panel says why. */
export function Answer(props: {
  status: Status;
  context: IContext;
}): React.JSX.Element {
  const { status, context } = props;
  const { trans } = context;
  const answer = answerOf(status);
  const today = status.totals?.today;
  const money = [
    hourlyCost(status.instances, trans),
    today && Number(today.usd) > 0 ? trans.__('%1 today', usd(today.usd)) : ''
  ].filter(Boolean);
  const name = nameOf(answer, status, trans);
  const counts = answer.kind === 'deadline' || answer.kind === 'warned';
  return (
    <section
      className="jp-AutoShutdown-answer"
      data-kind={answer.kind}
      aria-label={trans.__('Next')}
    >
      <p className="jp-AutoShutdown-headline">
        <span
          role={counts ? 'timer' : undefined}
          className="jp-AutoShutdown-large"
          title={answer.kind === 'busy' ? answer.app?.subject : undefined}
        >
          <Ticking
            context={context}
            text={now => headline(answer, now, trans)}
          />
        </span>{' '}
        {counts && answer.at !== null && (
          <span className="jp-AutoShutdown-aside">
            {trans.__('at %1', time(answer.at, context.now()))}
          </span>
        )}
      </p>
      {name && (
        <p className="jp-AutoShutdown-aside jp-AutoShutdown-clamped">{name}</p>
      )}
      {money.length > 0 && (
        <p className="jp-AutoShutdown-money">{money.join(' · ')}</p>
      )}
    </section>
  );
}
