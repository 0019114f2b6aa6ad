/**
 * Notebook 7, which has no status bar and its own shell: the panel opens, and warnings show.
 */

import { expect, test } from '@playwright/test';

import { change } from '../helpers/api';
import { declineKernels, faultsOf, PANEL } from '../helpers/lab';
import { Studio } from '../helpers/studio';

test('in Notebook 7 the palette opens the panel, and a warning keeps the app', async ({
  page
}) => {
  const faults = faultsOf(page);
  const studio = await Studio.start({
    apps: ['datascience-1.0,ml.t3.medium'],
    traits: { active_time: 1, poll_interval: 2 }
  });
  try {
    const tree = await (await fetch(studio.url('tree'))).text();
    // JupyterLab 3 brings the classic Notebook, at the same address.
    test.skip(!tree.includes('"notebookPage"'), 'Notebook 7 is not installed');

    // The only page with a Running panel.
    await page.goto(studio.url('tree'));
    await page.locator('.jp-DirListing-content').waitFor();
    await page.getByRole('tab', { name: 'Running' }).click();
    await expect(
      page
        .locator('.jp-RunningSessions-item')
        .filter({ hasText: 'datascience-1.0' })
    ).toHaveCount(1);

    const content = { cells: [], metadata: {}, nbformat: 4, nbformat_minor: 5 };
    const model = { type: 'notebook', format: 'json', content };
    await studio.jupyter('PUT', 'api/contents/work.ipynb', model);
    await declineKernels(page);
    await page.goto(studio.url('notebooks/work.ipynb'));
    await page.locator('.jp-Notebook').waitFor();
    const panel = page.locator(PANEL);
    const palette = page.locator('.jp-ModalCommandPalette');
    await expect(async () => {
      await page.keyboard.press('Control+Shift+C');
      await expect(palette).toBeVisible({ timeout: 1000 });
      await page.keyboard.type('Show SageMaker AutoShutdown');
      await page.keyboard.press('Enter');
      await expect(panel).toBeVisible({ timeout: 2000 });
    }).toPass();
    await expect(panel).toContainText('datascience-1.0');

    await change(studio, { idle_timeout: 120, warning_time: 120 });
    const warning = page
      .locator('.Toastify__toast')
      .filter({ hasText: 'will be shut down' });
    await warning.getByRole('button', { name: 'Keep 1 h' }).click();
    await expect(warning).toHaveCount(0);
    await expect(panel).toContainText('Kept until');
    expect(faults).toEqual([]);
  } finally {
    await page.close();
    await studio.stop();
  }
});
