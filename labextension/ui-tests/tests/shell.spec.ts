/**
 * The panel's place in JupyterLab: opened by the command palette, moved by the Settings Editor.
 */

import { expect, test, type Locator, type Page } from '@playwright/test';

import { openLab, openPanel, PANEL, whenUp } from '../helpers/lab';
import { Studio } from '../helpers/studio';

let studio: Studio;
let page: Page;

test.describe.configure({ mode: 'serial' });

test.beforeAll(async ({ browser }) => {
  studio = await Studio.start({ apps: ['datascience-1.0,ml.t3.medium'] });
  page = await browser.newPage();
  await openLab(page, studio.labUrl);
});

test.afterAll(async () => {
  await page.close();
  await studio.stop();
});

/** The panel, while it is in that side bar. */
function panelAt(side: 'left' | 'right'): Locator {
  return page.locator(`#jp-${side}-stack`).locator(PANEL);
}

/** Show our page of the Settings Editor. */
async function openSettings(): Promise<void> {
  const list = page.locator('.jp-PluginList');
  await expect(async () => {
    // JupyterLab 3 would open another.
    if (!(await list.isVisible())) {
      await page.keyboard.press('Control+,');
    }
    await expect(list).toBeVisible({ timeout: 2000 });
  }).toPass();
  await list.getByText('SageMaker AutoShutdown', { exact: true }).click();
}

test('the panel opens from the command palette, and takes the focus', async () => {
  const panel = page.locator(PANEL);
  const palette = page.locator('#command-palette');
  await expect(panel).toBeHidden();
  // Again if JupyterLab takes the focus for its Launcher, as it does some time after its start.
  await expect(async () => {
    await page.keyboard.press('Control+Shift+C');
    await expect(palette).toBeVisible({ timeout: 1000 });
    await page.keyboard.type('Show SageMaker AutoShutdown');
    await page.keyboard.press('Enter');
    await expect(panel).toBeFocused({ timeout: 2000 });
  }).toPass();
  await expect(palette).toBeHidden();
  await expect(panel).toContainText('datascience-1.0');
});

test('a setting that does not move the panel leaves the focus where it is', async () => {
  await openPanel(page);
  await openSettings();
  const box = page.getByRole('checkbox', { name: 'Status bar' });
  await box.focus();
  await page.keyboard.press('Space');
  await expect(
    page.getByRole('button', { name: /SageMaker AutoShutdown:/ })
  ).toHaveCount(0);
  await expect(box).toBeFocused();
  await page.keyboard.press('Space');
});

test('the Settings Editor moves the open panel to the other side, and there it is after a reload', async () => {
  await openPanel(page);
  await expect(panelAt('right')).toBeVisible();
  await openSettings();
  const side = page.locator('select[id$=_area]');
  await side.focus();
  const saved = page.waitForRequest(
    request =>
      request.url().includes('api/workspaces') &&
      /"left":.*"current":"sagemaker-autoshutdown-panel".*"right":/s.test(
        request.postData() ?? ''
      )
  );
  await side.selectOption({ label: 'Left' });
  await expect(panelAt('left')).toBeVisible();
  await expect(panelAt('left')).toContainText('datascience-1.0');
  await expect(side).toBeFocused();

  await (await saved).response();
  await page.reload();
  await whenUp(page);
  await expect(panelAt('left')).toBeVisible();
});
