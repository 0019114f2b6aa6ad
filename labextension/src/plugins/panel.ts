import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator } from '@jupyterlab/translation';

import { Actions } from '../actions';
import { CommandIDs } from '../commands';
import { timerIcon } from '../icon';
import { AutoShutdownPanel, PANEL_ID } from '../panel';
import {
  IAutoShutdown,
  IDisplaySettings,
  IDocumentSaver,
  type Area
} from '../tokens';
import { load, ticker } from './shared';

/** Behind JupyterLab's own panels. */
const RANK = 700;

export const panelPlugin: JupyterFrontEndPlugin<void> = {
  id: 'sagemaker-autoshutdown:panel',
  description:
    'Adds the panel of what runs, what it costs and when it will be shut down.',
  autoStart: true,
  requires: [IAutoShutdown, IDisplaySettings],
  optional: [ICommandPalette, ILayoutRestorer, ITranslator, IDocumentSaver],
  activate: (
    app: JupyterFrontEnd,
    model: IAutoShutdown,
    display: IDisplaySettings,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null,
    saver: IDocumentSaver | null
  ): void => {
    const trans = load(translator);
    const panel = new AutoShutdownPanel({
      model,
      display,
      saver,
      context: {
        trans,
        ticker,
        now: () => model.now(),
        actions: new Actions(model, trans, saver)
      }
    });
    let area: Area | null = null;
    const place = (): void => {
      if (area !== display.area) {
        area = display.area;
        app.shell.add(panel, area, { rank: RANK });
      }
    };
    place();
    restorer?.add(panel, PANEL_ID);
    display.changed.connect(() => {
      if (area !== null && area !== display.area) {
        const wasOpen = panel.isVisible;
        place();
        if (wasOpen) {
          panel.leaveFocusOnce();
          app.shell.activateById(PANEL_ID);
        }
      }
    });

    // Off SageMaker there is nothing to see; the command opens it all the same.
    const leaveIfIdle = (): void => {
      if (model.status !== null) {
        model.stateChanged.disconnect(leaveIfIdle);
        if (model.status.host === 'none' && !panel.isVisible) {
          panel.parent = null;
          area = null;
        }
      }
    };
    model.stateChanged.connect(leaveIfIdle);

    app.commands.addCommand(CommandIDs.open, {
      label: trans.__('Show SageMaker AutoShutdown'),
      caption: trans.__(
        'Show what runs, what it costs and when it will be shut down'
      ),
      icon: timerIcon,
      execute: async () => {
        place();
        // The palette gives the focus back to the main area as it goes: ask for it after that.
        await Promise.resolve();
        app.shell.activateById(PANEL_ID);
      }
    });
    palette?.addItem({
      command: CommandIDs.open,
      category: trans.__('SageMaker AutoShutdown')
    });
  }
};
