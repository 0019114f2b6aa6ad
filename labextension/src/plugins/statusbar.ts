import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import { CommandIDs } from '../commands';
import { StatusBarItem } from '../statusbar';
import { IAutoShutdown, IDisplaySettings } from '../tokens';
import { load, ticker } from './shared';

const ID = 'sagemaker-autoshutdown:status-bar';

export const statusBarPlugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description:
    'Tells the next shutdown and the cost an hour in the status bar.',
  autoStart: true,
  requires: [IAutoShutdown, IDisplaySettings],
  // Notebook 7 has none.
  optional: [IStatusBar, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IAutoShutdown,
    display: IDisplaySettings,
    statusBar: IStatusBar | null,
    translator: ITranslator | null
  ): void => {
    if (statusBar === null) {
      return;
    }
    const changed = new Signal<JupyterFrontEndPlugin<void>, void>(
      statusBarPlugin
    );
    model.stateChanged.connect(() => changed.emit());
    display.changed.connect(() => changed.emit());
    statusBar.registerStatusItem(ID, {
      item: new StatusBarItem({
        model,
        display,
        context: { trans: load(translator), ticker, now: () => model.now() },
        toggle: () => void app.commands.execute(CommandIDs.toggle),
        keep: ({ app_name }) =>
          void app.commands.execute(CommandIDs.keepRunning, {
            appName: app_name
          })
      }),
      align: 'left',
      rank: 100,
      isActive: () =>
        display.statusBar &&
        model.status !== null &&
        model.status.host !== 'none',
      activeStateChanged: changed
    });
  }
};
