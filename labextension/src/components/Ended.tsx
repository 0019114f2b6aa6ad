import * as React from 'react';

import type { IEnd } from '../ending';
import type { HostKind } from '../openapi';
import { endText } from '../wording';
import type { IContext } from './context';

/** The message once the server has ended with its app. It is calm, because that was expected. */
export function Ended(props: {
  end: IEnd;
  host: HostKind;
  documentsText: string;
  studioUrl: string | null;
  context: IContext;
}): React.JSX.Element {
  const { end, host, documentsText, studioUrl, context } = props;
  const { trans } = context;
  return (
    <section
      className="jp-AutoShutdown-answer"
      data-kind="ended"
      aria-label={trans.__('Shut down')}
    >
      <p role="status">
        {endText(end, context.now(), trans)} {documentsText}
      </p>
      {studioUrl === null ? (
        <p className="jp-AutoShutdown-hint">
          {host === 'space'
            ? trans.__('To go on, run the space again in SageMaker Studio.')
            : trans.__('To go on, start the notebook instance again.')}
        </p>
      ) : (
        <p>
          <a href={studioUrl} target="_blank" rel="noreferrer">
            {trans.__('Open it again in SageMaker Studio')}
          </a>
        </p>
      )}
    </section>
  );
}
