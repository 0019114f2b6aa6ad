import * as React from 'react';

import type { IEnd } from '../ending';
import { roughly, secondsSince } from '../format';
import type {
  Costs,
  Event,
  Settings,
  SettingsChange,
  Status
} from '../openapi';
import type { Connection } from '../tokens';
import { Answer } from './Answer';
import type { IContext } from './context';
import { CostSummary } from './CostSummary';
import { Ended } from './Ended';
import { useKeptFocus } from './focus';
import { Header, type IHeaderActions } from './Header';
import { History } from './History';
import { Instances } from './Instances';
import { Problems } from './Problems';
import { SettingsForm } from './SettingsForm';
import { Ticking } from './Ticking';

/** The whole panel, from the model. */
export function PanelView(props: {
  connection: Connection;
  connectionError: string;
  status: Status | null;
  settings: Settings | null;
  costs: Costs | null;
  history: readonly Event[] | null;
  /** How this server ended, if it has. */
  ended: IEnd | null;
  /** Whether documents were saved then; empty if there is nothing to say. */
  documentsText: string;
  /** Where to open it again; null if that is not known. */
  studioUrl: string | null;
  /** The note about unsaved documents; empty if the server outlives its apps. */
  savingText: string;
  context: IContext;
  header: IHeaderActions;
  changeSettings: (change: SettingsChange) => Promise<void>;
}): React.JSX.Element {
  const { connection, status, settings, costs, history, ended } = props;
  const { savingText, context } = props;
  const { trans } = context;
  const ref = useKeptFocus<HTMLDivElement>();
  return (
    <div className="jp-AutoShutdown-content" ref={ref}>
      <Header context={context} actions={props.header} />
      {ended !== null ? (
        <Ended
          end={ended}
          host={status?.host ?? 'space'}
          documentsText={props.documentsText}
          studioUrl={props.studioUrl}
          context={context}
        />
      ) : status === null ? (
        <>
          <Problems {...props} />
          {connection === 'connecting' && (
            <p className="jp-AutoShutdown-empty">{trans.__('Loading…')}</p>
          )}
        </>
      ) : status.host === 'none' ? (
        <>
          <Problems {...props} />
          <p className="jp-AutoShutdown-empty">
            {status.message ||
              trans.__(
                'This server does not run on SageMaker, so nothing is shut down.'
              )}
          </p>
        </>
      ) : (
        <>
          <Answer status={status} context={context} />
          <Problems {...props} />
          <Instances status={status} settings={settings} context={context} />
          {savingText && <p className="jp-AutoShutdown-hint">{savingText}</p>}
          {history !== null && (
            <History events={history} apps={status.apps} context={context} />
          )}
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

/** The owner and the place, the time of the last check, and what can't be seen. */
function Footer(props: {
  status: Status;
  context: IContext;
}): React.JSX.Element {
  const { status, context } = props;
  const { trans } = context;
  const { checked_at } = status;
  return (
    <div className="jp-AutoShutdown-hint jp-AutoShutdown-footer">
      {status.notes.map(note => (
        <p key={note}>{note}</p>
      ))}
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
    </div>
  );
}
