/**
 * The least that must work in every version of JupyterLab: for `SERVER_HOST`, without long waits.
 */

import { expect, test } from '@playwright/test';

import { change } from '../helpers/api';
import { faultsOf, openLab, openPanel } from '../helpers/lab';
import { Studio } from '../helpers/studio';

const host = process.env.SERVER_HOST === 'space' ? 'space' : 'classic';

test('the panel opens, warns, and keeps an app', async ({ page }) => {
  const faults = faultsOf(page);
  const studio = await Studio.start({
    host,
    ...(host === 'classic' && { apps: ['datascience-1.0,ml.t3.medium'] }),
    traits: { active_time: 1, poll_interval: 2 }
  });
  try {
    await openLab(page, studio.labUrl);
    const panel = await openPanel(page);
    await expect(
      panel.getByRole('heading', { name: 'ml.t3.medium' })
    ).toBeVisible();
    await expect(
      page.getByRole('button', { name: /SageMaker AutoShutdown:/ })
    ).toContainText('$0.05/h');

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
