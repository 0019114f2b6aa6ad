import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Signal } from '@lumino/signaling';

import schema from '../schema/display.json';
import { DISPLAY_PLUGIN_ID, DisplaySettings } from './display';

const SHOWN = [
  'area',
  'statusBar',
  'notifications',
  'saveBeforeShutdown'
] as const;

test('without a registry the defaults are those of the schema', () => {
  const display = new DisplaySettings();
  for (const name of SHOWN) {
    expect(display[name]).toBe(schema.properties[name].default);
  }
  expect(Object.keys(schema.properties).sort()).toEqual([...SHOWN].sort());
});

test('the registry is followed, now and later', async () => {
  const settings = {
    composite: { area: 'left', notifications: false } as Record<
      string,
      unknown
    >,
    changed: new Signal<object, void>({})
  };
  const load = jest.fn(() => Promise.resolve(settings));
  const display = new DisplaySettings();
  const told = jest.fn();
  display.changed.connect(told);
  await display.follow({ load } as unknown as ISettingRegistry);
  expect(load).toHaveBeenCalledWith(DISPLAY_PLUGIN_ID);
  expect([display.area, display.notifications]).toEqual(['left', false]);

  settings.composite = { area: 'right', statusBar: false };
  settings.changed.emit();
  expect([display.area, display.statusBar]).toEqual(['right', false]);
  expect(told).toHaveBeenCalledTimes(2);
});
