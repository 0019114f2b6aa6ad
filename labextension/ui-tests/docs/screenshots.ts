/**
 * The pictures of README and docs: a local Studio with real kernels and the product's own answers.
 *
 * Made up are only the age of the apps and the record of the days before, which the product's own
 * store writes. All sums come from that one record.
 */

import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { expect, test, type Locator, type Page } from '@playwright/test';

import { change, status } from '../helpers/api';
import {
  execute,
  openLab,
  openPanel,
  setPanelWidth,
  setTheme
} from '../helpers/lab';
import { ROOT, STUDIO_PYTHON, Studio } from '../helpers/studio';
import { kernelspecOf } from '../helpers/notebook';
import { notebook, REPORT } from '../helpers/pictured';

const FOLDER = join(ROOT, 'docs/images');
const MINUTE = 60;
const APPS = [
  'datascience-1.0,ml.t3.medium',
  'pytorch-2.0.0-gpu-py310,ml.g4dn.2xlarge'
];
/** How long the apps look to have been up, in seconds. */
const AGE = 69 * MINUTE;

test.use({ deviceScaleFactor: 2, viewport: { width: 1120, height: 960 } });

/** Give the server a past of 30 days: while it is down, as it keeps its record open. */
async function addRecord(studio: Studio): Promise<void> {
  await expect
    .poll(async () => (await status(studio)).apps.length)
    .toBe(APPS.length);
  const { domain_id, owner, apps } = await status(studio);
  const [first] = apps.map(app => app.run_started_at).sort();
  await studio.killServer();
  const [ledger] = studio.find('ledger.sqlite3');
  const folder = dirname(ledger ?? '');
  rmSync(folder, { recursive: true });
  const whose = ['--domain', domain_id, '--user', owner];
  execFileSync(
    STUDIO_PYTHON,
    [
      ...['-m', 'tests.localstudio.record', folder, ...whose],
      ...['--up-since', first ?? '']
    ],
    { cwd: ROOT }
  );
  await studio.startServer();
}

/** A notebook whose last cell runs, and runs. */
async function openNotebook(page: Page, studio: Studio): Promise<void> {
  const name = await kernelspecOf(studio, 'datascience-1.0');
  await studio.jupyter('PUT', 'api/contents/report.py', {
    type: 'file',
    format: 'text',
    content: REPORT
  });
  await studio.jupyter('PUT', 'api/contents/train.ipynb', {
    type: 'notebook',
    format: 'json',
    content: notebook(name)
  });
  await execute(page, 'docmanager:open', { path: 'train.ipynb' });
  await expect(page.locator('.jp-Notebook .jp-Cell')).not.toHaveCount(0);
  // Without a kernel, a cell that is run stays as it is.
  await expect(page.locator('.jp-NotebookPanel-toolbar')).toContainText(
    'Data Science'
  );
  await expect(page.locator('[data-status=idle]').first()).toBeVisible();
  // The command ends with the last cell, which does not end.
  void execute(page, 'notebook:run-all-cells').catch(() => undefined);
  await expect(page.locator('.jp-OutputArea svg')).toBeVisible();
  await expect(page.locator('.jp-OutputArea').last()).toContainText('epoch 4');
}

/** In both themes; the answer and its picture must not be of different times. */
async function take(page: Page, name: string): Promise<void> {
  for (const [theme, suffix] of [
    ['JupyterLab Light', ''],
    ['JupyterLab Dark', '-dark']
  ] as const) {
    await setTheme(page, theme);
    await page.locator('#jupyterlab-splash').waitFor({ state: 'detached' });
    await page.mouse.move(0, 0);
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
    // A notification slides in.
    await page.waitForFunction(() =>
      [...document.querySelectorAll('.Toastify__toast')].every(
        toast =>
          !toast
            .getAnimations({ subtree: true })
            .some(({ playState }) => playState === 'running')
      )
    );
    await page.screenshot({ path: join(FOLDER, `${name}${suffix}.png`) });
  }
}

/** An amount out of what is shown. */
async function amount(where: Locator): Promise<number> {
  const [, digits = ''] =
    /\$([\d,.]+)/.exec((await where.textContent()) ?? '') ?? [];
  return Number(digits.replace(/,/g, ''));
}

/** The chart's days are as much as the table says, and today's is what the top says. */
async function checkSums(panel: Locator): Promise<void> {
  const row = (label: string): Locator =>
    panel.getByRole('row', { name: label }).getByRole('cell').first();
  const chart = panel.getByRole('slider', { name: 'Cost by day' });
  const read = panel.locator('figcaption');
  let sum = 0;
  let today = 0;
  await chart.press('Home');
  for (let day = 0; day < 30; day += 1) {
    await expect(chart).toHaveAttribute('aria-valuenow', String(day));
    const text = (await read.textContent()) ?? '';
    today = [...text.matchAll(/\$([\d.]+)/g)].reduce(
      (total, [, digits]) => total + Number(digits),
      0
    );
    sum += today;
    await chart.press('ArrowRight');
  }
  const total = await amount(row('Last 30 days'));
  // Each of the sixty figures is rounded.
  expect(Math.abs(sum - total)).toBeLessThanOrEqual(0.3);
  expect(Math.abs(today - (await amount(row('Today'))))).toBeLessThanOrEqual(
    0.02
  );
}

test('pictures', async ({ page }) => {
  const studio = await Studio.start({
    apps: APPS,
    age: AGE,
    serverArguments: ['--LabApp.expose_app_in_browser=True'],
    traits: { poll_interval: 20 }
  });
  try {
    await addRecord(studio);
    await openLab(page, studio.labUrl);
    const panel = await openPanel(page);
    await execute(page, 'application:toggle-left-area');
    await setPanelWidth(page, 350);
    await openNotebook(page, studio);
    await panel.getByRole('button', { name: 'Check now' }).click();
    await expect(panel).toContainText(/A cell has been running/);
    await expect(panel.getByRole('timer')).toHaveText(
      /Shuts down in \d\d\smin/
    );
    await checkSums(panel);
    await take(page, 'panel');

    // Within the warning, whatever time the machine took until here, and a limit that people set.
    const { apps, now } = await status(studio);
    const idle = apps.find(app => app.state === 'idle')?.idle_since ?? now;
    const past = (Date.parse(now) - Date.parse(idle)) / 1000;
    const ROUND = 5 * MINUTE;
    const limit = Math.ceil(past / ROUND + 1) * ROUND;
    // With more warning, the deadline would be later than the limit says.
    const left = Math.ceil(limit - past);
    await change(studio, { idle_timeout: limit, warning_time: left });
    const toast = page.locator('.Toastify__toast');
    await expect(toast).toHaveCount(1);
    await expect(panel.getByRole('timer')).toHaveText(/Shuts down in \d:\d\d/);
    await take(page, 'warning');

    await studio.fault({
      operation: 'DeleteApp',
      code: 'AccessDeniedException',
      message: 'not authorized to perform: sagemaker:DeleteApp'
    });
    // Its deadline comes at once, and the shutdown is refused.
    await change(studio, { idle_timeout: 60 * MINUTE, warning_time: 5 });
    await expect(panel.locator('.jp-AutoShutdown-answer')).toContainText(
      'Could not be shut down'
    );
    await expect(panel).toContainText('SageMaker refused the shutdown');
    await expect(toast).toHaveCount(0);
    await take(page, 'failure');
  } finally {
    await page.close();
    await studio.stop();
  }
});
