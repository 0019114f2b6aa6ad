import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, showErrorMessage } from '@jupyterlab/apputils';
import { ITranslator } from '@jupyterlab/translation';

import { Actions } from '../actions';
import { CommandIDs } from '../commands';
import type { App } from '../openapi';
import { IAutoShutdown, IDocumentSaver } from '../tokens';
import { canAct } from '../wording';
import { load } from './shared';

export const commandsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'sagemaker-autoshutdown:commands',
  description: 'Adds commands to keep apps running and to shut them down.',
  autoStart: true,
  requires: [IAutoShutdown],
  optional: [ICommandPalette, ITranslator, IDocumentSaver],
  activate: (
    app: JupyterFrontEnd,
    model: IAutoShutdown,
    palette: ICommandPalette | null,
    translator: ITranslator | null,
    saver: IDocumentSaver | null
  ): void => {
    const trans = load(translator);
    const actions = new Actions(model, trans, saver);
    const { commands } = app;

    /** The apps that a command applies to. */
    const appsOf = (name: unknown): App[] =>
      (model.status?.apps ?? []).filter(
        each => canAct(each) && (name === undefined || each.app_name === name)
      );
    const tell = async (action: () => Promise<unknown>): Promise<void> => {
      try {
        await action();
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        await showErrorMessage(trans.__('SageMaker AutoShutdown'), text);
      }
    };

    commands.addCommand(CommandIDs.keepRunning, {
      label: trans.__('Keep 1 h'),
      caption: trans.__('Keep every running app for 1 h more'),
      isEnabled: args => appsOf(args['appName']).length > 0,
      execute: args =>
        tell(() =>
          Promise.all(
            appsOf(args['appName']).map(each => actions.keepLonger(each))
          )
        )
    });
    commands.addCommand(CommandIDs.shutDown, {
      label: trans.__('Shut Down…'),
      caption: trans.__('Shut the app down, whatever runs in it'),
      isEnabled: args =>
        model.status?.dry_run === false && appsOf(args['appName']).length === 1,
      execute: args =>
        tell(async () => {
          const [only] = appsOf(args['appName']);
          if (only !== undefined) {
            await actions.shutDown(only);
          }
        })
    });
    commands.addCommand(CommandIDs.refresh, {
      label: trans.__('Check Now'),
      caption: trans.__('Check now instead of at the next interval'),
      execute: () => model.check()
    });
    model.stateChanged.connect(() => {
      commands.notifyCommandChanged(CommandIDs.keepRunning);
      commands.notifyCommandChanged(CommandIDs.shutDown);
    });

    if (palette !== null) {
      const category = trans.__('SageMaker AutoShutdown');
      for (const command of [
        CommandIDs.keepRunning,
        CommandIDs.shutDown,
        CommandIDs.refresh
      ]) {
        palette.addItem({ command, category });
      }
    }
  }
};
