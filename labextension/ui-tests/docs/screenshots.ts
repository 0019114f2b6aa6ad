/**
 * The pictures of README and docs: the fixtures' answers in a real JupyterLab.
 */

import { join } from 'node:path';

import { expect, test } from '@playwright/test';

import * as fixtures from '../../src/testing/fixtures';
import { answerWith } from '../helpers/answers';
import {
  openLab,
  openPanel,
  setPanelWidth,
  setTheme,
  whenUp
} from '../helpers/lab';
import { Studio } from '../helpers/studio';

const FOLDER = join(__dirname, '../../../docs/images');

test.use({ deviceScaleFactor: 2 });

test('pictures', async ({ page }) => {
  const studio = await Studio.start({
    serverArguments: ['--LabApp.expose_app_in_browser=True']
  });
  await page.setViewportSize({ width: 960, height: 800 });
  const answers = {
    status: fixtures.status({ apps: [fixtures.warnedApp, fixtures.busyApp] })
  };
  await answerWith(page, answers);
  await openLab(page, studio.labUrl);
  const panel = await openPanel(page);
  // Make room for the panel.
  await page.getByRole('tab', { name: /File Browser/ }).click();
  await setPanelWidth(page, 350);
  await expect(panel.getByRole('slider')).toBeVisible();
  await page.screenshot({ path: join(FOLDER, 'warning.png') });

  answers.status = fixtures.status({ apps: [fixtures.undeletableApp] });
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await expect(panel).toContainText('SageMaker refused the shutdown');
  await setTheme(page, 'JupyterLab Dark');
  await expect(page.locator('.Toastify__toast')).toHaveCount(0);
  await whenUp(page);
  await page.screenshot({ path: join(FOLDER, 'failure.png') });
  await studio.stop();
});
