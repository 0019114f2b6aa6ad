import * as React from 'react';

import { roughly, secondsSince, time } from '../format';
import type { Status } from '../openapi';
import type { Connection } from '../tokens';
import type { IContext } from './context';
import { Notice } from './Notice';
import { Ticking } from './Ticking';

/** Problems that keep the product, or this panel, from working, with their remedies. */
export function Problems(props: {
  context: IContext;
  connection: Connection;
  connectionError: string;
  status: Status | null;
}): React.JSX.Element {
  const { context, status } = props;
  const { trans } = context;
  return (
    <>
      <ConnectionNotice {...props} />
      {status?.check_overdue && (
        <Notice
          kind="error"
          trans={trans}
          aside={
            <Ticking
              context={context}
              text={now => lastCheckText(status, now, trans)}
            />
          }
        >
          {trans.__(
            'Checks have stopped. Nothing is shut down until they resume. If this lasts, restart the Jupyter server.'
          )}
        </Notice>
      )}
      {status?.problems.map(problem => (
        <Notice
          key={`${problem.code} ${problem.since}`}
          kind="error"
          trans={trans}
        >
          {problem.message} {problem.remedy}
        </Notice>
      ))}
      {status?.recording_error && (
        <Notice kind="warning" trans={trans}>
          {trans.__('Costs and history: %1', status.recording_error)}
        </Notice>
      )}
    </>
  );
}

function lastCheckText(
  status: Status,
  now: number,
  trans: IContext['trans']
): string {
  return status.checked_at === null
    ? trans.__('No check has succeeded yet.')
    : trans.__(
        'The last good check was %1 ago.',
        roughly(secondsSince(status.checked_at, now), trans)
      );
}

function ConnectionNotice(props: {
  context: IContext;
  connection: Connection;
  connectionError: string;
  status: Status | null;
}): React.JSX.Element | null {
  const { connection, connectionError, status, context } = props;
  const { trans } = context;
  switch (connection) {
    case 'lost':
      return (
        <Notice
          kind="error"
          trans={trans}
          aside={
            status &&
            trans.__(
              'Last update: %1.',
              time(Date.parse(status.now), context.now())
            )
          }
        >
          {trans.__(
            'The server does not answer (%1). The panel keeps trying.',
            connectionError
          )}
        </Notice>
      );
    case 'forbidden':
      return (
        <Notice kind="error" trans={trans}>
          {trans.__(
            'The server refuses this page (%1). Reload it to log in again.',
            connectionError
          )}
        </Notice>
      );
    case 'missing':
      return (
        <Notice kind="error" trans={trans}>
          {trans.__(
            'The Jupyter server has no SageMaker AutoShutdown extension, so nothing is shut down. Run "jupyter server extension list" to see why, then restart the server.'
          )}
        </Notice>
      );
    default:
      return null;
  }
}
