/**
 * SageMaker AutoShutdown in JupyterLab: the plugins, each of which can be switched off by itself.
 */

import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { checksPlugin } from './plugins/checks';
import { commandsPlugin } from './plugins/commands';
import { displayPlugin } from './plugins/display';
import { endingPlugin } from './plugins/ending';
import { modelPlugin } from './plugins/model';
import { panelPlugin } from './plugins/panel';
import { runningPlugin } from './plugins/running';
import { saverPlugin } from './plugins/saver';
import { statusBarPlugin } from './plugins/statusbar';
import { warningsPlugin } from './plugins/warnings';

export { CommandIDs } from './commands';
export { IAutoShutdown, IDisplaySettings, IDocumentSaver } from './tokens';

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  modelPlugin,
  displayPlugin,
  saverPlugin,
  commandsPlugin,
  panelPlugin,
  statusBarPlugin,
  warningsPlugin,
  runningPlugin,
  checksPlugin,
  endingPlugin
];

export default plugins;
