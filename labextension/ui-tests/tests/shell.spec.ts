/**
 * The panel's place in JupyterLab: opened by the command palette, moved by the Settings Editor.
 */

import { expect, test, type Locator, type Page } from '@playwright/test';

import { onlyApp, status } from '../helpers/api';
import {
  declineKernels,
  labVersion,
  openLab,
  openPanel,
  PANEL,
  whenUp
} from '../helpers/lab';
import { Studio } from '../helpers/studio';

let studio: Studio;
let page: Page;

test.describe.configure({ mode: 'serial' });

test.beforeAll(async ({ browser }) => {
  studio = await Studio.start({
    apps: ['datascience-1.0,ml.t3.medium'],
    // The server may have checked before the app was there.
    traits: { poll_interval: 2 },
    serverArguments: ['--LabApp.expose_app_in_browser=True']
  });
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

test('with a cell of a notebook selected, keys go to the panel that was opened, not to the cell', async () => {
  const cell = {
    cell_type: 'code',
    execution_count: null,
    id: 'a',
    metadata: {},
    outputs: [],
    source: 'x = 1'
  };
  const content = {
    cells: [cell],
    metadata: {},
    nbformat: 4,
    nbformat_minor: 5
  };
  const model = { type: 'notebook', format: 'json', content };
  await studio.jupyter('PUT', 'api/contents/keys.ipynb', model);
  // JupyterLab 3 asks for a kernel all the same.
  await declineKernels(page);
  await page.evaluate(async () => {
    const { jupyterapp } = window as unknown as {
      jupyterapp: {
        commands: { execute(id: string, args: object): Promise<unknown> };
      };
    };
    await jupyterapp.commands.execute('docmanager:open', {
      path: 'keys.ipynb',
      kernelPreference: { shouldStart: false, canStart: false }
    });
  });
  const notebook = page.locator('.jp-Notebook');
  const cells = notebook.locator('.jp-Cell');
  await expect(cells).toHaveCount(1);
  const panel = page.locator(PANEL);
  const palette = page.locator('#command-palette');
  for (let attempt = 0; attempt < 5; attempt += 1) {
    await cells.first().click({ position: { x: 8, y: 8 } });
    await page.keyboard.press('Escape');
    await expect(notebook).toHaveClass(/jp-mod-commandMode/);
    // Again if JupyterLab gives the focus back to the notebook, as it does at times after opening it.
    await expect(async () => {
      await page.keyboard.press('Control+Shift+C');
      await expect(palette).toBeVisible({ timeout: 1000 });
      await expect(palette.locator('input')).toBeFocused({ timeout: 2000 });
    }).toPass();
    await page.keyboard.type('Show SageMaker AutoShutdown');
    // Before JupyterLab 3 has filtered its list, Enter runs nothing.
    await expect(async () => {
      if (await palette.isVisible()) {
        await page.keyboard.press('Enter');
      }
      await expect(palette).toBeHidden({ timeout: 1000 });
    }).toPass();
    await expect(panel).toBeVisible();
    await page.waitForFunction(
      id => document.querySelector(id)?.contains(document.activeElement),
      PANEL
    );
    for (const key of ['b', 'b', 'd', 'd']) {
      await page.keyboard.press(key);
    }
    await expect(panel).toBeFocused();
    await expect(cells).toHaveCount(1);
  }
  await page.evaluate(async () => {
    const { jupyterapp } = window as unknown as {
      jupyterapp: { commands: { execute(id: string): Promise<unknown> } };
    };
    await jupyterapp.commands.execute('docmanager:save');
    await jupyterapp.commands.execute('application:close-all');
  });
});

test('a dialog that comes up just after the panel was opened has the focus', async () => {
  const faults: string[] = [];
  const note = (error: Error): number => faults.push(String(error));
  page.on('pageerror', note);
  await page.evaluate(() => {
    const { jupyterapp } = window as unknown as {
      jupyterapp: { commands: { execute(id: string): Promise<unknown> } };
    };
    void jupyterapp.commands
      .execute('sagemaker-autoshutdown:open')
      .then(() => jupyterapp.commands.execute('help:about'));
  });
  const dialog = page.locator('.jp-Dialog');
  await expect(dialog.locator(':focus')).toHaveCount(1);
  await page.keyboard.press('Escape');
  await expect(dialog).toHaveCount(0);
  page.off('pageerror', note);
  expect(faults).toEqual([]);
});

test('a setting that does not move the panel leaves the focus where it is', async () => {
  await openPanel(page);
  await openSettings();
  const box = page.getByRole('checkbox', { name: 'Status bar' });
  await box.press('Space');
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

test('the palette finds what people call it: keep, cost, idle', async () => {
  const palette = page.locator('#command-palette');
  for (const [typed, label] of [
    ['keep', 'Keep 1 h'],
    ['cost', 'Show SageMaker AutoShutdown'],
    ['idle', 'Show SageMaker AutoShutdown']
  ] as const) {
    // Restored widgets may take the focus after the reload, which closes the palette.
    await expect(async () => {
      if (!(await palette.isVisible())) {
        await page.keyboard.press('Control+Shift+C');
      }
      await palette.locator('input').fill(typed, { timeout: 2000 });
      await expect(palette).toContainText(label, { timeout: 2000 });
    }).toPass();
    await page.keyboard.press('Escape');
    await expect(palette).toBeHidden();
  }
});

test('the View menu opens the panel', async () => {
  await page.locator('#jp-MainMenu').getByText('View', { exact: true }).click();
  await expect(
    page.getByRole('menuitem', { name: /Show SageMaker AutoShutdown/ })
  ).toBeVisible();
  await page.keyboard.press('Escape');
});

/** Our app in the Running panel, which is open then. */
async function runningItem(): Promise<Locator> {
  const item = page
    .locator('.jp-RunningSessions-item')
    .filter({ hasText: 'datascience-1.0' })
    .filter({ hasNotText: '.ipynb' });
  await expect(async () => {
    if (!(await item.isVisible())) {
      await page.locator('[data-id="jp-running-sessions"]').click();
    }
    await expect(item).toBeVisible({ timeout: 2000 });
  }).toPass();
  return item;
}

test('the Running panel lists the app with a button of its own', async () => {
  const item = await runningItem();
  await item.hover();
  await item.getByRole('button').last().click();
  const dialog = page.locator('.jp-Dialog');
  await expect(dialog).toContainText('Shut down datascience-1.0?');
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await expect(dialog).toHaveCount(0);
});

test('"Shut Down All" in the Running panel shuts no app down', async () => {
  await runningItem();
  // In JupyterLab 4 it is in the section's title, which is beside the section.
  const all = page
    .locator('.jp-AccordionPanel-title, .jp-RunningSessions-section')
    .filter({ hasText: /SageMaker Apps/i })
    .locator('.jp-RunningSessions-shutdownAll');
  await expect(all).toHaveCount(1);
  if (!(await labVersion(page)).startsWith('3')) {
    await expect(all).toBeHidden();
    return;
  }
  // JupyterLab 3 gives items no class to find their section by: there the button does nothing.
  await all.click();
  const dialog = page.locator('.jp-Dialog');
  await expect(dialog).toContainText('Shut SageMaker apps down one by one.');
  await dialog.getByRole('button', { name: 'Shut Down' }).click();
  await expect(dialog).toHaveCount(0);
  // The server has answered something since: it would have been asked by now.
  await status(studio);
  expect(await studio.calls('DeleteApp')).toEqual([]);
  expect((await onlyApp(studio)).status).toBe('InService');
});
