import * as React from 'react';

import { usdPerHour } from '../format';
import type { App, Instance, Settings, Status } from '../openapi';
import { distinctTitle, isUnseen, priceSourceLabel } from '../wording';
import { AppCard } from './AppCard';
import type { IPrice } from './AppDetails';
import type { IContext } from './context';

/** The running instances, each with its cost and its apps. */
export function Instances(props: {
  status: Status;
  settings: Settings | null;
  context: IContext;
}): React.JSX.Element | null {
  const { status, settings, context } = props;
  const { trans } = context;
  // SageMaker lists an app for up to a day after it is gone.
  const apps = status.apps.filter(app => app.status !== 'Deleted');
  const billed = new Set(
    status.instances.flatMap(instance => instance.app_names)
  );
  const others = apps.filter(app => !billed.has(app.app_name));
  const list = (shown: App[], price: IPrice | null): React.JSX.Element => (
    <ul>
      {shown.map(app => (
        <AppCard
          // A new run of an app is a new app, whatever its name.
          key={`${app.app_name} ${app.run_started_at}`}
          app={app}
          name={distinctTitle(app, apps, trans)}
          price={price}
          dryRun={status.dry_run}
          isStalled={status.check_overdue}
          longestKeepAlive={settings?.max_keep_alive ?? null}
          context={context}
        />
      ))}
    </ul>
  );
  if (apps.length === 0 && !isUnseen(status)) {
    return null;
  }
  return (
    <section aria-label={trans.__('Instances and apps')}>
      {apps.length === 0 && (
        <p className="jp-AutoShutdown-empty">
          {trans.__('What runs is unknown until a check succeeds.')}
        </p>
      )}
      {status.instances.map((instance, index) => (
        <div
          key={instanceKey(status.instances, index)}
          className="jp-AutoShutdown-instance"
        >
          <InstanceHeader instance={instance} context={context} />
          {list(
            apps.filter(app => instance.app_names.includes(app.app_name)),
            priceOf(instance, context)
          )}
        </div>
      ))}
      {others.length > 0 && (
        <div className="jp-AutoShutdown-instance">
          <div className="jp-AutoShutdown-instanceHeader">
            <h3 tabIndex={-1}>{trans.__('Not billed now')}</h3>
          </div>
          {list(others, null)}
        </div>
      )}
    </section>
  );
}

/** A key that stays the same while apps come and go: the number among instances of its type. */
function instanceKey(instances: readonly Instance[], index: number): string {
  const type = instances[index]?.instance_type ?? '';
  const before = instances.slice(0, index);
  const number = before.filter(each => each.instance_type === type).length;
  return `${type} ${number}`;
}

function InstanceHeader(props: {
  instance: Instance;
  context: IContext;
}): React.JSX.Element {
  const { instance, context } = props;
  return (
    <div className="jp-AutoShutdown-instanceHeader">
      <h3 tabIndex={-1}>{instance.instance_type}</h3>
      <span>{priceOf(instance, context).text}</span>
    </div>
  );
}

function priceOf(instance: Instance, context: IContext): IPrice {
  const { trans } = context;
  const { usd_per_hour, price_source, price_date } = instance;
  if (usd_per_hour === null) {
    return { text: trans.__('Price unknown'), source: '' };
  }
  const amount = usdPerHour(Number(usd_per_hour), trans);
  return {
    text: price_source === 'estimate' ? `≈ ${amount}` : amount,
    source: [amount, priceSourceLabel(price_source, trans), price_date]
      .filter(Boolean)
      .join(', ')
  };
}
