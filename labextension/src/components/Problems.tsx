import * as React from 'react';

import { roughly, secondsSince, time } from '../format';
import type { Status } from '../openapi';
import type { Connection } from '../tokens';
import { endsWithApp } from '../wording';
import type { IContext } from './context';
import { Notice } from './Notice';
import { Ticking } from './Ticking';

/** What keeps the product, or this panel, from working, and what to do about it. */
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
        <Notice kind="error" trans={trans}>
          {status.checked_at === null ? (
            trans.__('No check has succeeded yet.')
          ) : (
            <Ticking
              context={context}
              text={now =>
                trans.__(
                  'Checks have stopped: the last good one was %1 ago.',
                  roughly(secondsSince(status.checked_at ?? '', now), trans)
                )
              }
            />
          )}{' '}
          {trans.__(
            'Nothing is shut down until they go on. If this lasts, restart the Jupyter server.'
          )}
        </Notice>
      )}
      {status?.problems.map(problem => (
        <Notice
          key={`${problem.code} ${problem.since}`}
          kind="error"
          trans={trans}
          iamAction={problem.iam_action}
        >
          {problem.message}
          <div>{problem.remedy}</div>
        </Notice>
      ))}
      {status?.recording_error && (
        <Notice kind="warning" trans={trans}>
          {trans.__('Costs and history: %1', status.recording_error)}
        </Notice>
      )}
      {status?.dry_run && (
        <Notice kind="info" trans={trans}>
          {trans.__(
            'Dry run is on: deadlines are shown, but nothing is shut down.'
          )}
        </Notice>
      )}
    </>
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
    case 'lost': {
      const ended =
        status !== null &&
        endsWithApp(status) &&
        status.apps.some(app => app.state === 'shutting_down');
      return (
        <Notice kind="error" trans={trans}>
          {ended
            ? trans.__(
                'This server was shut down. Start it again from SageMaker Studio.'
              )
            : trans.__(
                'The server does not answer (%1). It is tried again.',
                connectionError
              )}
          {!ended && status && (
            <>
              {' '}
              {trans.__(
                'What is shown is from %1.',
                time(Date.parse(status.now), context.now())
              )}
            </>
          )}
        </Notice>
      );
    }
    case 'forbidden':
      return (
        <Notice kind="error" trans={trans}>
          {trans.__(
            'The server does not let this page ask any more (%1). Reload it to log in again.',
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
