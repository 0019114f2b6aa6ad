/**
 * Our REST API for tests: to set a scene, and to check the server's state.
 */

import type { App, Settings, SettingsChange, Status } from '../../src/openapi';
import type { Studio } from './studio';

const API = 'sagemaker-autoshutdown/api';

export function status(studio: Studio): Promise<Status> {
  return studio.jupyter('GET', `${API}/status`);
}

export function settings(studio: Studio): Promise<Settings> {
  return studio.jupyter('GET', `${API}/settings`);
}

export async function change(
  studio: Studio,
  settings: SettingsChange
): Promise<void> {
  await studio.jupyter('PUT', `${API}/settings`, settings);
}

/** The only running app. */
export async function onlyApp(studio: Studio): Promise<App> {
  const { apps } = await status(studio);
  const up = apps.filter(app => app.status === 'InService');
  const [app] = up;
  if (app === undefined || up.length > 1) {
    throw new Error(`${String(up.length)} apps are up`);
  }
  return app;
}
