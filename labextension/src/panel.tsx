/**
 * The panel as a widget of JupyterLab's shell.
 */

import { ReactWidget } from '@jupyterlab/apputils';
import type { IDisposable } from '@lumino/disposable';
import * as React from 'react';

import { useSignal } from './components/hooks';
import type { IContext } from './components/context';
import { PanelView } from './components/PanelView';
import { timerIcon } from './icon';
import type { IAutoShutdown, IDisplaySettings, IDocumentSaver } from './tokens';

export const PANEL_ID = 'sagemaker-autoshutdown-panel';

export class AutoShutdownPanel extends ReactWidget {
  constructor(private readonly _options: AutoShutdownPanel.IOptions) {
    super();
    const { trans } = _options.context;
    this.id = PANEL_ID;
    this.addClass('jp-AutoShutdown');
    this.title.icon = timerIcon;
    this.title.caption = trans.__('SageMaker AutoShutdown');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', this.title.caption);
    // Also what activating the panel from the palette moves the focus to.
    this.node.tabIndex = -1;
  }

  protected override render(): React.JSX.Element {
    return <Connected {...this._options} />;
  }

  /** Let the next activation only show the panel: the focus is where the user set what moved it. */
  leaveFocusOnce(): void {
    this._leavesFocus = true;
  }

  protected override onActivateRequest(): void {
    if (!this._leavesFocus) {
      this.node.focus();
    }
    this._leavesFocus = false;
  }

  /** Limits and costs are asked for only while somebody may look at them. */
  protected override onAfterShow(): void {
    this._watch ??= this._options.model.watchDetails();
  }

  protected override onAfterHide(): void {
    this._watch?.dispose();
    this._watch = null;
  }

  override dispose(): void {
    this._watch?.dispose();
    super.dispose();
  }

  private _watch: IDisposable | null = null;
  private _leavesFocus = false;
}

export namespace AutoShutdownPanel {
  export interface IOptions {
    model: IAutoShutdown;
    display: IDisplaySettings;
    saver: IDocumentSaver | null;
    context: IContext;
  }
}

function Connected(props: AutoShutdownPanel.IOptions): React.JSX.Element {
  const { model, display, saver, context } = props;
  useSignal(model.stateChanged);
  useSignal(display.changed);
  return (
    <PanelView
      connection={model.connection}
      connectionError={model.connectionError}
      status={model.status}
      settings={model.settings}
      costs={model.costs}
      savingText={
        saver?.isNeeded
          ? context.trans.__(
              'Unsaved documents are saved before a shutdown, as this server ends with it.'
            )
          : ''
      }
      context={context}
      changeSettings={change => model.changeSettings(change)}
    />
  );
}
