/**
 * A JupyterLab space, where the server ends with its app: documents are saved, and the panel says so.
 */

import { existsSync, readFileSync } from 'node:fs';

import { expect, test, type Locator, type Page } from '@playwright/test';

import { change, onlyApp } from '../helpers/api';
import { openLab, openPanel } from '../helpers/lab';
import { Studio } from '../helpers/studio';

let studio: Studio;
let page: Page;
let panel: Locator;

test.describe.configure({ mode: 'serial' });

test.beforeAll(async ({ browser }) => {
  studio = await Studio.start({
    host: 'space',
    serverArguments: ['--LabApp.expose_app_in_browser=True'],
    traits: { active_time: 1, poll_interval: 2 }
  });
  page = await browser.newPage();
  await openLab(page, studio.labUrl);
  panel = await openPanel(page);
});

test.afterAll(async () => {
  await page.close();
  await studio.stop();
});

async function write(text: string): Promise<void> {
  await page
    .locator('.jp-FileEditor .cm-content, .jp-FileEditor .CodeMirror')
    .click();
  await page.keyboard.type(text);
}

test('it is said that unsaved documents are saved', async () => {
  await expect(
    panel.getByRole('heading', { name: 'JupyterLab' })
  ).toBeVisible();
  await expect(panel).toContainText('Unsaved documents are saved before');
  await panel.getByRole('button', { name: 'Shut down JupyterLab' }).click();
  const dialog = page.locator('.jp-Dialog');
  await expect(dialog).toContainText('Shut down this JupyterLab?');
  await expect(dialog).toContainText('This JupyterLab ends with it.');
  await expect(dialog).toContainText('Unsaved documents are saved first.');
  await dialog.getByRole('button', { name: 'Cancel' }).click();
});

test('what was not saved is on disk when the server has ended', async () => {
  // A saved document counts as use: the deadline is put off, twice at most.
  test.slow();
  const model = { type: 'file', format: 'text', content: '' };
  await studio.jupyter('PUT', 'api/contents/notes.txt', model);
  await page.goto(studio.url('lab/tree/notes.txt'));
  await page.locator('.jp-FileEditor').waitFor();
  panel = await openPanel(page);
  await write('written before the warning');
  await change(studio, { idle_timeout: 25, warning_time: 25 });
  const warning = page
    .locator('.Toastify__toast')
    .filter({ hasText: 'will be shut down' });
  // The warning of a deadline that was put off may not have gone yet.
  await expect(warning.first()).toContainText(
    'Unsaved documents are saved first.'
  );

  // Changes during the warning are saved as well.
  await expect(panel.getByRole('timer')).toHaveText(/ 0:(1\d|0[6-9])$/);
  await write(', and after it');
  const { app_name } = await onlyApp(studio);
  expect(app_name).toBe('default');

  const said =
    /This JupyterLab was shut down at .* after .* idle\. Documents were saved\./;
  await expect(panel).toContainText(said, { timeout: 300_000 });
  // Calmly: no error, no price, and nothing that still shuts down.
  await expect(panel).not.toContainText(/\$|Shutting down|Error/);
  await expect(
    page.getByRole('button', { name: /SageMaker AutoShutdown:/ })
  ).toHaveText(/^Shut down \d+:\d\d [AP]M$/);
  await expect(
    page.locator('.Toastify__toast').filter({ hasText: said })
  ).toHaveCount(1);
  // JupyterLab's own dialog comes later, and goes.
  await page.evaluate(async () => {
    const { jupyterapp } = window as unknown as {
      jupyterapp: {
        serviceManager: { sessions: { refreshRunning(): Promise<void> } };
      };
    };
    await jupyterapp.serviceManager.sessions
      .refreshRunning()
      .catch(() => undefined);
  });
  await expect(
    page.locator('.jp-Dialog').filter({ hasText: 'Server Connection Error' })
  ).toHaveCount(0);
  await expect(panel).toContainText(said);
  const [path] = studio.find('notes.txt');
  expect(path !== undefined && existsSync(path)).toBe(true);
  const text = readFileSync(path ?? '', 'utf-8');
  expect(text).toContain('written before the warning, and after it');
});
