/**
 * The item in JupyterLab's status bar.
 */

import { ReactWidget } from '@jupyterlab/apputils';
import * as React from 'react';

import type { IContext } from './components/context';
import { useSignal } from './components/hooks';
import { StatusBarView } from './components/StatusBarView';
import type { App } from './openapi';
import type { IAutoShutdown, IDisplaySettings } from './tokens';

export class StatusBarItem extends ReactWidget {
  constructor(private readonly _options: StatusBarItem.IOptions) {
    super();
  }

  protected override render(): React.JSX.Element {
    return <Connected {...this._options} />;
  }
}

export namespace StatusBarItem {
  export interface IOptions {
    model: IAutoShutdown;
    display: IDisplaySettings;
    context: Pick<IContext, 'trans' | 'ticker' | 'now'>;
    toggle: () => void;
    keep: (app: App) => void;
  }
}

function Connected(props: StatusBarItem.IOptions): React.JSX.Element | null {
  const { model, display, context, toggle, keep } = props;
  useSignal(model.stateChanged);
  useSignal(display.changed);
  const { status, connection } = model;
  if (!display.statusBar || status === null || status.host === 'none') {
    return null;
  }
  return (
    <StatusBarView
      status={status}
      connection={connection}
      ended={model.ended}
      mayKeep={model.settings?.max_keep_alive !== 0}
      context={context}
      toggle={toggle}
      keep={keep}
    />
  );
}
