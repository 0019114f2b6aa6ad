/**
 * JupyterLab in the browser, the same for versions 3 and 4: by roles, labels and commands.
 */

import { expect, type Locator, type Page } from '@playwright/test';

export const PANEL = '#sagemaker-autoshutdown-panel';

export type Theme =
  'JupyterLab Light' | 'JupyterLab Dark' | 'JupyterLab Dark High Contrast';

/** Open JupyterLab with a fresh layout, and wait until it is up. */
export async function openLab(page: Page, url: string): Promise<void> {
  // The question covers the panel; in JupyterLab 3 another toast may cover the question.
  const news = page
    .locator('.Toastify__toast')
    .filter({ hasText: 'official Jupyter news' })
    .first();
  const no = news.getByRole('button', { name: 'No', exact: true });
  await page.addLocatorHandler(news, () =>
    // On a busy machine the question may have gone by itself by now.
    no.dispatchEvent('click', {}, { timeout: 2000 }).catch(() => undefined)
  );
  await page.goto(`${url}&reset`);
  await whenUp(page);
}

/** What goes wrong in our code from now on: the list grows. */
export function faultsOf(page: Page): string[] {
  const faults: string[] = [];
  page.on('pageerror', ({ stack = '' }) => {
    if (/autoshutdown/.test(stack)) {
      faults.push(stack);
    }
  });
  page.on('console', message => {
    const text = message.text();
    // JupyterLab warns of that on a busy machine.
    const isSlow = /took [\d.]+ms to activate/.test(text);
    const isOurs = /autoshutdown|shared module/i.test(text);
    if (isOurs && !isSlow && message.type() !== 'log') {
      faults.push(text);
    }
  });
  return faults;
}

/** Open notebooks without a kernel from now on, when asked which. */
export async function declineKernels(page: Page): Promise<void> {
  const question = page
    .locator('.jp-Dialog')
    .filter({ hasText: 'Select Kernel' });
  const none = question.getByRole('button', { name: 'No Kernel' });
  await page.addLocatorHandler(question, () =>
    none.click({ timeout: 2000 }).catch(() => undefined)
  );
}

/** Wait until JupyterLab is up, after a reload for example. */
export async function whenUp(page: Page): Promise<void> {
  await page.locator('#jupyterlab-splash').waitFor({ state: 'detached' });
  await page.locator('#jp-main-dock-panel').waitFor();
}

/** The page's own version, `4.6.6` for example. */
export async function labVersion(page: Page): Promise<string> {
  const config = await page.locator('#jupyter-config-data').textContent();
  return (JSON.parse(config ?? '{}') as { appVersion: string }).appVersion;
}

/** The panel, opened as a user does: by its tab in the side bar. */
export async function openPanel(page: Page): Promise<Locator> {
  const panel = page.locator(PANEL);
  await expect(async () => {
    if (!(await panel.isVisible())) {
      await page.locator('[data-id="sagemaker-autoshutdown-panel"]').click();
    }
    await expect(panel).toBeVisible({ timeout: 1000 });
  }).toPass();
  return panel;
}

/** The seconds that a countdown shows, such as `Shuts down in 1:30`. */
export async function secondsLeft(timer: Locator): Promise<number> {
  const [, minutes, seconds] =
    /(\d+):(\d\d)$/.exec((await timer.textContent()) ?? '') ?? [];
  return Number(minutes) * 60 + Number(seconds);
}

/** Make the open panel this wide, as a user does: by its edge. */
export async function setPanelWidth(page: Page, width: number): Promise<void> {
  const panel = page.locator(PANEL);
  await expect(async () => {
    const box = await panel.boundingBox();
    const x = (box?.x ?? 0) - 2;
    const by = (box?.width ?? 0) - width;
    await page.mouse.move(x, 400);
    await page.mouse.down();
    await page.mouse.move(x + by, 400, { steps: 5 });
    await page.mouse.up();
    const after = (await panel.boundingBox())?.width ?? 0;
    // Four pixels less break a line more.
    expect(Math.abs(after - width)).toBeLessThanOrEqual(1);
  }).toPass();
}

interface IApp {
  commands: { execute(id: string, args: object): Promise<unknown> };
}

/** Run a command of JupyterLab's. The server needs `--LabApp.expose_app_in_browser=True`. */
export async function execute(
  page: Page,
  command: string,
  args: object = {}
): Promise<void> {
  await page.evaluate(
    async ([id, given]) => {
      const { jupyterapp } = window as unknown as { jupyterapp: IApp };
      await jupyterapp.commands.execute(id, given);
    },
    [command, args] as const
  );
}

/** Choose a theme; false if this version of JupyterLab lacks it. */
export async function setTheme(page: Page, theme: Theme): Promise<boolean> {
  await execute(page, 'apputils:change-theme', { theme });
  const set = page.locator(`body[data-jp-theme-name="${theme}"]`);
  return set.waitFor({ state: 'attached', timeout: 5000 }).then(
    () => true,
    () => false
  );
}
