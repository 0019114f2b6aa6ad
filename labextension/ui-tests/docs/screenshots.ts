/**
 * The README's pictures: answers of the fixtures in a real JupyterLab.
 */

import { join } from 'node:path';

import { expect, test } from '@playwright/test';

import * as fixtures from '../../src/testing/fixtures';
import { answerWith } from '../helpers/answers';
import { openLab, openPanel, setTheme, whenUp } from '../helpers/lab';
import { Studio } from '../helpers/studio';

const FOLDER = join(__dirname, '../../docs');

test('pictures', async ({ page }) => {
  const studio = await Studio.start({
    serverArguments: ['--LabApp.expose_app_in_browser=True']
  });
  await page.setViewportSize({ width: 960, height: 720 });
  const answers = {
    status: fixtures.status({
      apps: [fixtures.warnedApp, fixtures.busyApp],
      totals: {
        ...fixtures.totals,
        last_30_days: fixtures.money({ usd: '30.10', idle_share: 0.3322 })
      }
    })
  };
  await answerWith(page, answers);
  await openLab(page, studio.labUrl);
  const panel = await openPanel(page);
  // Make room for the panel, as a user does.
  await page.getByRole('tab', { name: /File Browser/ }).click();
  const edge = await panel.boundingBox();
  const x = (edge?.x ?? 0) - 2;
  await page.mouse.move(x, 400);
  await page.mouse.down();
  await page.mouse.move(x - 90, 400, { steps: 5 });
  await page.mouse.up();
  await expect(panel.getByRole('img')).toBeVisible();
  await page.screenshot({ path: join(FOLDER, 'warning.png') });

  answers.status = fixtures.status({
    apps: [fixtures.undeletableApp],
    totals: answers.status.totals
  });
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await expect(panel).toContainText('Missing IAM action');
  await setTheme(page, 'JupyterLab Dark');
  await page.setViewportSize({ width: 960, height: 860 });
  await expect(page.locator('.Toastify__toast')).toHaveCount(0);
  await whenUp(page);
  await page.screenshot({ path: join(FOLDER, 'failure.png') });
  await studio.stop();
});
