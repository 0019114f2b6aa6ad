import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { DISPLAY_PLUGIN_ID, DisplaySettings } from '../display';
import { IDisplaySettings } from '../tokens';

export const displayPlugin: JupyterFrontEndPlugin<IDisplaySettings> = {
  id: DISPLAY_PLUGIN_ID,
  description: 'Provides the settings of how SageMaker AutoShutdown is shown.',
  autoStart: true,
  optional: [ISettingRegistry],
  provides: IDisplaySettings,
  activate: (
    _: JupyterFrontEnd,
    registry: ISettingRegistry | null
  ): IDisplaySettings => {
    const display = new DisplaySettings();
    if (registry !== null) {
      display.follow(registry).catch((error: unknown) => {
        console.warn('SageMaker AutoShutdown: the defaults apply:', error);
      });
    }
    return display;
  }
};
