/**
 * The display settings from JupyterLab's Settings Editor; the schema's defaults without one.
 */

import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Signal, type ISignal } from '@lumino/signaling';

import type { Area, IDisplaySettings } from './tokens';

/** The schema's defaults, in `schema/display.json`. */
export const DISPLAY_PLUGIN_ID = 'sagemaker-autoshutdown:display';

export class DisplaySettings implements IDisplaySettings {
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get area(): Area {
    return this._area;
  }

  get statusBar(): boolean {
    return this._statusBar;
  }

  get notifications(): boolean {
    return this._notifications;
  }

  get saveBeforeShutdown(): boolean {
    return this._saveBeforeShutdown;
  }

  /** Take the values of the registry, now and whenever they change. */
  async follow(registry: ISettingRegistry): Promise<void> {
    const settings = await registry.load(DISPLAY_PLUGIN_ID);
    const update = (): void => {
      const { composite } = settings;
      this._area = composite['area'] === 'left' ? 'left' : 'right';
      this._statusBar = composite['statusBar'] !== false;
      this._notifications = composite['notifications'] !== false;
      this._saveBeforeShutdown = composite['saveBeforeShutdown'] !== false;
      this._changed.emit();
    };
    settings.changed.connect(update);
    update();
  }

  private readonly _changed = new Signal<this, void>(this);
  private _area: Area = 'right';
  private _statusBar = true;
  private _notifications = true;
  private _saveBeforeShutdown = true;
}
