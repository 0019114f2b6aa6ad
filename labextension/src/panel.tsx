/**
 * The panel as a widget of JupyterLab's shell.
 */

import { ReactWidget } from '@jupyterlab/apputils';
import type { IDisposable } from '@lumino/disposable';
import * as React from 'react';

import { useSignal } from './components/hooks';
import type { IContext } from './components/context';
import type { IHeaderActions } from './components/Header';
import { PanelView } from './components/PanelView';
import { studioUrl } from './ending';
import { timerIcon } from './icon';
import type { IAutoShutdown, IDisplaySettings, IDocumentSaver } from './tokens';
import { documentsText } from './wording';

export const PANEL_ID = 'sagemaker-autoshutdown-panel';
/** How long after the panel was opened only the user may move the focus away. */
const FOCUS_HELD_MS = 1000;

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
    // Activating the panel from the palette also moves the focus here.
    this.node.tabIndex = -1;
  }

  protected override render(): React.JSX.Element {
    return <Connected {...this._options} />;
  }

  /** Let the next activation only show the panel, and leave the focus where the user put it. */
  leaveFocusOnce(): void {
    this._leavesFocus = true;
  }

  protected override onActivateRequest(): void {
    if (!this._leavesFocus) {
      this.node.focus();
      this._holdFocus();
    }
    this._leavesFocus = false;
  }

  /** The element that opened the panel may return the focus to the notebook as it closes, as the command
   * palette does a little later: keys would then act on cells. Only a user may move it from here. */
  private _holdFocus(): void {
    const letGo = (): void => {
      window.clearTimeout(timer);
      document.removeEventListener('focusin', takeBack);
      document.removeEventListener('pointerdown', letGo, true);
      document.removeEventListener('keydown', letGo, true);
    };
    let isTaking = false;
    const takeBack = (event: FocusEvent): void => {
      if (this.node.contains(event.target as Node)) {
        return;
      }
      // A dialog would take it back: the focus belongs to the dialog.
      if (!this.isVisible || isTaking) {
        letGo();
        return;
      }
      isTaking = true;
      this.node.focus();
      isTaking = false;
    };
    const timer = window.setTimeout(letGo, FOCUS_HELD_MS);
    document.addEventListener('focusin', takeBack);
    document.addEventListener('pointerdown', letGo, true);
    document.addEventListener('keydown', letGo, true);
  }

  /** Limits and costs are fetched only while the panel is visible. */
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
    header: Omit<IHeaderActions, 'refresh'>;
  }
}

function Connected(props: AutoShutdownPanel.IOptions): React.JSX.Element {
  const { model, display, saver, context, header } = props;
  useSignal(model.stateChanged);
  useSignal(display.changed);
  return (
    <PanelView
      connection={model.connection}
      connectionError={model.connectionError}
      status={model.status}
      settings={model.settings}
      costs={model.costs}
      history={model.history}
      ended={model.ended}
      documentsText={documentsText(saver, context.trans)}
      studioUrl={model.status && studioUrl(model.status, window.location)}
      header={{ ...header, refresh: () => model.check() }}
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
