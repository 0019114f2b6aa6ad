import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { Dialog, ICommandPalette, showDialog } from '@jupyterlab/apputils';
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
import { howItWorks } from '../wording';
import { load, ticker } from './shared';

/** After JupyterLab's own panels. */
const RANK = 700;
/** JupyterLab's own commands. */
const OPEN_SETTINGS = 'settingeditor:open';
const OPEN_DOCUMENT = 'docmanager:open';

export const panelPlugin: JupyterFrontEndPlugin<void> = {
  id: 'sagemaker-autoshutdown:panel',
  description:
    'Adds the panel of what runs, what it costs and when it will be shut down.',
  autoStart: true,
  requires: [IAutoShutdown, IDisplaySettings],
  optional: [
    ICommandPalette,
    ILayoutRestorer,
    ITranslator,
    IDocumentSaver,
    ILabShell
  ],
  activate: (
    app: JupyterFrontEnd,
    model: IAutoShutdown,
    display: IDisplaySettings,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null,
    saver: IDocumentSaver | null,
    labShell: ILabShell | null
  ): void => {
    const trans = load(translator);
    const title = trans.__('SageMaker AutoShutdown');
    const { commands } = app;
    const panel = new AutoShutdownPanel({
      model,
      display,
      saver,
      context: {
        trans,
        ticker,
        now: () => model.now(),
        actions: new Actions(model, trans, saver),
        openDocument: path => void commands.execute(OPEN_DOCUMENT, { path })
      },
      header: {
        // Notebook 7 has it on some pages only.
        openSettings: () => {
          if (commands.hasCommand(OPEN_SETTINGS)) {
            void commands.execute(OPEN_SETTINGS, { query: title });
          }
        },
        help: () =>
          void showDialog({
            title,
            body: howItWorks(trans),
            buttons: [Dialog.okButton({ label: trans.__('Close') })]
          })
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

    const open = (): void => {
      place();
      app.shell.activateById(PANEL_ID);
    };
    commands.addCommand(CommandIDs.open, {
      label: trans.__('Show SageMaker AutoShutdown (Idle Time, Costs)'),
      caption: trans.__(
        'Show what runs, what it costs and when it will be shut down'
      ),
      icon: timerIcon,
      execute: async () => {
        // The palette returns the focus to the main area as it closes: take it after that.
        await Promise.resolve();
        open();
      }
    });
    commands.addCommand(CommandIDs.toggle, {
      label: title,
      execute: () => {
        if (labShell === null || !panel.isVisible) {
          open();
        } else if (area === 'left') {
          labShell.collapseLeft();
        } else {
          labShell.collapseRight();
        }
      }
    });
    palette?.addItem({ command: CommandIDs.open, category: title });
  }
};
