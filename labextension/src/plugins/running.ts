import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IRunningSessionManagers } from '@jupyterlab/running';
import { ITranslator } from '@jupyterlab/translation';

import { RunningApps } from '../running';
import { IAutoShutdown } from '../tokens';
import { load } from './shared';

export const runningPlugin: JupyterFrontEndPlugin<void> = {
  id: 'sagemaker-autoshutdown:running',
  description: 'Lists the apps in the Running panel.',
  autoStart: true,
  requires: [IAutoShutdown],
  optional: [IRunningSessionManagers, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IAutoShutdown,
    managers: IRunningSessionManagers | null,
    translator: ITranslator | null
  ): void => {
    managers?.add(
      new RunningApps(model, load(translator), (command, args) =>
        app.commands.execute(command, args)
      )
    );
  }
};
