import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { ITranslator } from '@jupyterlab/translation';

import { CommandIDs } from '../commands';
import { OnceOverTabs } from '../once';
import { IAutoShutdown, IDisplaySettings, IDocumentSaver } from '../tokens';
import { Warnings } from '../warnings';
import { load, ticker } from './shared';

export const warningsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'sagemaker-autoshutdown:warnings',
  description: 'Warns before a shutdown by a notification.',
  autoStart: true,
  requires: [IAutoShutdown, IDisplaySettings],
  optional: [ITranslator, IDocumentSaver],
  activate: (
    app: JupyterFrontEnd,
    model: IAutoShutdown,
    display: IDisplaySettings,
    translator: ITranslator | null,
    saver: IDocumentSaver | null
  ): void => {
    new Warnings({
      model,
      display,
      ticker,
      trans: load(translator),
      notifications: Notification.manager,
      // In versions 3 and 4, a toast's element has its notification's id.
      isOpen: id => document.getElementById(id) !== null,
      saver,
      once: new OnceOverTabs({
        tab: window.sessionStorage,
        browser: window.localStorage,
        locks: (navigator as Partial<Navigator>).locks
      }),
      keepRunning: appName =>
        void app.commands.execute(CommandIDs.keepRunning, { appName }),
      shutDown: appName =>
        void app.commands.execute(CommandIDs.shutDown, { appName })
    }).watch();
  }
};
