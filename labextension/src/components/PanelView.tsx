import * as React from 'react';

import { roughly, secondsSince, usdPerHour } from '../format';
import type { Costs, Settings, SettingsChange, Status } from '../openapi';
import type { Connection } from '../tokens';
import { hourlyCost, isUnseen } from '../wording';
import type { IContext } from './context';
import { CostSummary } from './CostSummary';
import { useKeptFocus } from './focus';
import { Instances } from './Instances';
import { Problems } from './Problems';
import { SettingsForm } from './SettingsForm';
import { Ticking } from './Ticking';

/** The whole panel, out of what the model knows. */
export function PanelView(props: {
  connection: Connection;
  connectionError: string;
  status: Status | null;
  settings: Settings | null;
  costs: Costs | null;
  /** What is said of unsaved documents; empty where the server outlives its apps. */
  savingText: string;
  context: IContext;
  changeSettings: (change: SettingsChange) => Promise<void>;
}): React.JSX.Element {
  const { connection, status, settings, costs, savingText, context } = props;
  const { trans } = context;
  const ref = useKeptFocus<HTMLDivElement>();
  return (
    <div className="jp-AutoShutdown-content" ref={ref}>
      <div>
        <h2 tabIndex={-1}>{trans.__('SageMaker AutoShutdown')}</h2>
        {status !== null && status.host !== 'none' && !isUnseen(status) && (
          <Summary status={status} context={context} />
        )}
      </div>
      <Problems {...props} />
      {status === null ? (
        connection === 'connecting' && (
          <p className="jp-AutoShutdown-empty">{trans.__('Loading…')}</p>
        )
      ) : status.host === 'none' ? (
        <p className="jp-AutoShutdown-empty">
          {status.message ||
            trans.__(
              'This server does not run on SageMaker, so nothing is shut down.'
            )}
        </p>
      ) : (
        <>
          <Instances status={status} settings={settings} context={context} />
          {savingText && <p className="jp-AutoShutdown-hint">{savingText}</p>}
          <CostSummary totals={status.totals} costs={costs} context={context} />
          {settings !== null && (
            <SettingsForm
              settings={settings}
              context={context}
              change={props.changeSettings}
            />
          )}
          <Footer status={status} context={context} />
        </>
      )}
    </div>
  );
}

function Summary(props: {
  status: Status;
  context: IContext;
}): React.JSX.Element {
  const { status, context } = props;
  const { trans } = context;
  const { usd, unpriced } = hourlyCost(status.instances);
  const cost = usdPerHour(usd, trans);
  return (
    <p className="jp-AutoShutdown-summary">
      <span>{trans.__('Now:')}</span>{' '}
      <strong>
        {unpriced ? trans.__('%1 and what has no price', cost) : cost}
      </strong>
    </p>
  );
}

/** Who and where, how fresh it is, and what can't be seen. */
function Footer(props: {
  status: Status;
  context: IContext;
}): React.JSX.Element {
  const { status, context } = props;
  const { trans } = context;
  const { checked_at } = status;
  return (
    <div className="jp-AutoShutdown-hint">
      <p>
        {[status.owner, status.domain_id, status.region, status.version]
          .filter(Boolean)
          .join(' · ')}
      </p>
      {checked_at !== null && (
        <p>
          <Ticking
            context={context}
            text={now =>
              trans.__(
                'Checked %1 ago.',
                roughly(secondsSince(checked_at, now), trans)
              )
            }
          />
        </p>
      )}
      {status.notes.map(note => (
        <p key={note}>{note}</p>
      ))}
    </div>
  );
}
