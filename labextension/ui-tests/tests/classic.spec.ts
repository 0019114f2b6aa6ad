/**
 * Studio Classic with real kernels: a user's view of an app, and their actions.
 *
 * The tests follow each other: each leaves the one app as the next finds it.
 */

import {
  expect,
  test,
  type Locator,
  type Page,
  type Request,
  type Response
} from '@playwright/test';

import type { Status } from '../../src/openapi';
import { change, onlyApp, settings, status } from '../helpers/api';
import {
  labVersion,
  openLab,
  openPanel,
  secondsLeft,
  whenUp
} from '../helpers/lab';
import { run, startSession } from '../helpers/notebook';
import { Studio } from '../helpers/studio';

const HOUR = 3600;

let studio: Studio;
let page: Page;
let panel: Locator;
let kernelspec: string;
/** The websockets that the page has opened. */
const sockets: string[] = [];

test.describe.configure({ mode: 'serial' });

test.beforeAll(async ({ browser }) => {
  studio = await Studio.start({
    apps: ['datascience-1.0,ml.t3.medium'],
    serverArguments: ['--LabApp.expose_app_in_browser=True'],
    traits: {
      active_time: 1,
      poll_interval: 2,
      min_idle_timeout: 5,
      max_idle_timeout: 2 * HOUR,
      allow_user_settings: [
        'idle_timeout',
        'warning_time',
        'ignore_connections'
      ]
    }
  });
  const { kernelspecs } = await studio.jupyter<{ kernelspecs: object }>(
    'GET',
    'api/kernelspecs'
  );
  kernelspec =
    Object.keys(kernelspecs).find(name => name.endsWith('/datascience-1.0')) ??
    '';
  page = await browser.newPage();
  page.on('websocket', socket => sockets.push(socket.url()));
  await openLab(page, studio.labUrl);
  panel = await openPanel(page);
});

test.afterAll(async () => {
  await page.close();
  await studio.stop();
});

/** Everything is idle, and will be for a while. */
test.beforeEach(async () => {
  await studio.faultsOff();
  await change(studio, { idle_timeout: HOUR, warning_time: 10 });
});

/** Lower the limit, so that the app has a warning of this many seconds. */
async function warnFor(seconds: number): Promise<void> {
  await change(studio, { idle_timeout: seconds, warning_time: seconds });
}

/** Let the panel ask the server at once. */
async function askAgain(): Promise<void> {
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
}

/** The message at a limit about the result of a change. */
function saidAt(label: string): Locator {
  return panel
    .locator('form')
    .filter({ has: page.getByLabel(label, { exact: true }) })
    .getByRole('status');
}

function statusBar(): Locator {
  return page.getByRole('button', { name: /SageMaker AutoShutdown:/ });
}

function warning(tab = page): Locator {
  return tab
    .locator('.Toastify__toast')
    .filter({ hasText: 'will be shut down' });
}

test('the panel and the status bar show what runs and what it costs', async () => {
  await expect(
    panel.getByRole('heading', { name: 'ml.t3.medium' })
  ).toBeVisible();
  await expect(panel).toContainText('$0.05/h');
  await expect(panel).toContainText('datascience-1.0');
  await expect(panel.getByRole('timer')).toHaveText(
    /^Shuts down in (1\sh|\d\d\smin)$/
  );
  const item = page.getByRole('button', { name: /SageMaker AutoShutdown:/ });
  await expect(item).toContainText('$0.05/h');
});

test('a running cell keeps its app busy, in words, however silent it is', async () => {
  const { kernel } = await startSession(studio, 'train.ipynb', kernelspec);
  await run(page, studio, kernel.id, 'import time; time.sleep(1000)');
  await expect(panel).toContainText('Busy: train.ipynb');
  await expect(panel).toContainText(
    /A cell has been running for .* in train\.ipynb/
  );
  await expect(panel.getByText('Busy', { exact: true })).toBeVisible();
  await studio.jupyter('POST', `api/kernels/${kernel.id}/interrupt`);
  await expect(panel.getByText('Idle', { exact: true }).first()).toBeVisible();
  await expect(panel).not.toContainText('A cell has been running');
});

test('a bad limit is refused in place with what is allowed, and nothing changes', async () => {
  await panel.getByText('Limits', { exact: true }).click();
  const field = panel.getByLabel('Idle limit', {
    exact: true
  });
  await field.fill('3');
  await panel
    .getByLabel('Unit of: Idle limit', { exact: true })
    .selectOption('hours');
  await panel
    .getByRole('button', { name: 'Save: Idle limit', exact: true })
    .click();
  await expect(field).toHaveAttribute('aria-invalid', 'true');
  await expect(panel.getByRole('alert')).toContainText([
    'Allowed: 5 s to 2 h.'
  ]);
  expect((await settings(studio)).idle_timeout.value).toBe(HOUR);
});

test('what the administrator fixed is greyed out, with the reason', async () => {
  await expect(
    panel.getByLabel('An open terminal counts as use')
  ).toBeDisabled();
  await expect(panel).toContainText(
    'Your administrator has fixed this setting.'
  );
});

// Before the page is reloaded: JupyterLab takes the focus for its Launcher, sooner or later.
test('an app is kept, longer at each press, and the keep-alive is undone, by keyboard', async () => {
  const keep = panel.getByRole('button', { name: 'Keep datascience-1.0 ' });
  const keptFor = async (): Promise<number> => {
    const { kept_until } = await onlyApp(studio);
    return (Date.parse(kept_until ?? '') - Date.now()) / 3_600_000;
  };
  // Its deadline is an hour away, so a press adds an hour.
  await expect(keep).toHaveText('Keep 1 h');
  await keep.press('Enter');
  await expect(panel).toContainText('Kept until');
  await expect(panel.getByText('Kept', { exact: true })).toBeVisible();
  await expect(keep).toHaveText('+1 h');
  await expect(keep).toBeFocused();
  expect(await keptFor()).toBeGreaterThan(1.9);
  await expect(statusBar()).toContainText('Kept 2 h');
  await page.keyboard.press('Enter');
  await expect.poll(keptFor).toBeGreaterThan(2.9);

  await panel.getByRole('button', { name: 'Undo keeping' }).press('Space');
  await expect(panel).not.toContainText('Kept until');
  expect((await onlyApp(studio)).kept_until).toBeNull();
});

test('by keyboard, the focus is never lost to what goes away', async () => {
  const title = panel.getByRole('heading', { name: 'datascience-1.0' });
  const keep = panel.getByRole('button', { name: 'Keep datascience-1.0 ' });
  await keep.press('Enter');
  await expect(panel).toContainText('Kept until');
  await expect(keep).toBeFocused();

  await panel.getByRole('button', { name: 'Undo keeping' }).press('Enter');
  await expect(panel).not.toContainText('Kept until');
  await expect(title).toBeFocused();
  await page.keyboard.press('Tab');
  await expect(keep).toBeFocused();

  const details = panel.getByRole('button', { name: 'Details of' });
  await details.press('Enter');
  await expect(panel).toContainText('Price: $0.05/h, bundled price list');
  const until = panel.getByRole('button', { name: 'until a time' });
  await until.press('Enter');
  const field = panel.getByLabel('Keep until', { exact: true });
  await expect(field).toBeFocused();
  await page.keyboard.press('Escape');
  await expect(field).toHaveCount(0);
  await expect(until).toBeFocused();

  const ask = panel.getByRole('button', { name: 'Shut down datascience' });
  await ask.press('Enter');
  await expect(page.locator('.jp-Dialog')).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.locator('.jp-Dialog')).toHaveCount(0);
  await expect(ask).toBeFocused();

  const limit = panel.getByLabel('Warning before a shutdown', { exact: true });
  const save = panel.getByRole('button', { name: 'Save: Warning before' });
  await limit.fill('11');
  await save.press('Enter');
  await expect(saidAt('Warning before a shutdown')).toHaveText('Saved');
  await expect(save).toBeFocused();
  await panel
    .getByRole('button', { name: "Use the administrator's value: Warning" })
    .press('Enter');
  await expect(saidAt('Warning before a shutdown')).toHaveText('Saved');
  await expect(limit).toBeFocused();
});

test('a limit that is changed is kept on the server, over a reload of the page', async () => {
  const label = 'Idle limit';
  await panel.getByLabel(label, { exact: true }).fill('90');
  await panel
    .getByLabel('Unit of: Idle limit', { exact: true })
    .selectOption('minutes');
  await panel
    .getByRole('button', { name: `Save: ${label}`, exact: true })
    .click();
  await expect(saidAt(label)).toHaveText('Saved');
  expect((await settings(studio)).idle_timeout.value).toBe(90 * 60);

  await page.reload();
  await whenUp(page);
  panel = await openPanel(page);
  await panel.getByText('Limits', { exact: true }).click();
  await expect(panel.getByLabel(label, { exact: true })).toHaveValue('90');
  await expect(panel).toContainText("Your administrator's value: 2 h.");
});

test('an app is kept until a time; one that is past is refused', async () => {
  await panel.getByRole('button', { name: 'Details of' }).click();
  await panel.getByRole('button', { name: 'until a time' }).click();
  const field = panel.getByLabel('Keep until', { exact: true });
  await field.fill('2020-01-01T10:00');
  await panel.getByRole('button', { name: 'Keep', exact: true }).click();
  await expect(panel.getByRole('alert')).toContainText([
    'Choose a time in the future.'
  ]);

  const until = new Date(Date.now() + 3 * HOUR * 1000);
  await field.fill(until.toISOString().slice(0, 16));
  await panel.getByRole('button', { name: 'Keep', exact: true }).click();
  await expect(panel).toContainText('Kept until');
  await panel.getByRole('button', { name: 'Undo keeping' }).click();
  await expect(panel).not.toContainText('Kept until');
});

test('the warning names the time; "Keep 1 h" keeps the app, and the warning goes', async () => {
  await warnFor(59);
  await expect(warning()).toHaveCount(1);
  const { shutdown_at } = await onlyApp(studio);
  const at = new Intl.DateTimeFormat('en-US', {
    hour: 'numeric',
    minute: '2-digit',
    timeZone: 'UTC'
  }).format(new Date(shutdown_at ?? 0));
  // The same as the panel's.
  await expect(warning()).toContainText(`at ${at}`);
  await expect(panel).toContainText(`at ${at}`);
  await expect(statusBar()).toContainText('Stops in 0:');
  // A user who cancels still has the warning.
  await warning().getByRole('button', { name: 'Shut down' }).click();
  const dialog = page.locator('.jp-Dialog');
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await expect(dialog).toHaveCount(0);
  await warning().getByRole('button', { name: 'Keep 1 h' }).click();
  await expect(warning()).toHaveCount(0);
  await expect(panel).toContainText('Kept until');
  // What is taken back brings the warning back, with the panel's time.
  await panel.getByRole('button', { name: 'Undo keeping' }).click();
  await expect(warning()).toHaveCount(1);
  const toast = await warning().textContent();
  const [again] = / at \d+:\d\d [AP]M/.exec(toast ?? '') ?? [];
  await expect(panel.locator('.jp-AutoShutdown-answer')).toContainText(
    again ?? 'a time'
  );
});

test('the status bar opens and closes the panel, and keeps the app once it is warned', async () => {
  await statusBar().click();
  await expect(panel).toBeHidden();
  await statusBar().click();
  await expect(panel).toBeVisible();
  const more = page.getByText('+1 h', { exact: true });
  await expect(more).toHaveCount(0);
  await warnFor(59);
  await more.click();
  await expect(statusBar()).toContainText('Kept 1 h');
  await panel.getByRole('button', { name: 'Undo keeping' }).click();
  await expect(panel).not.toContainText('Kept until');
});

test('a notebook that was opened just now is not taken for nothing', async () => {
  // JupyterLab adds a time to the address, to bypass caches.
  const checked = (): Promise<Request> =>
    page.waitForRequest(
      request =>
        request.method() === 'POST' &&
        new URL(request.url()).pathname.endsWith('/api/check')
    );
  const asked = checked();
  await panel.getByRole('button', { name: 'Check now' }).click();
  await asked;
  const again = checked();
  const { id } = await startSession(studio, 'opened.ipynb', kernelspec);
  await page.evaluate(async () => {
    const { jupyterapp } = window as unknown as {
      jupyterapp: {
        serviceManager: { sessions: { refreshRunning(): Promise<void> } };
      };
    };
    await jupyterapp.serviceManager.sessions.refreshRunning();
  });
  await again;
  const details = panel.getByRole('button', { name: 'Details of' });
  // The card may be drawn anew just when it is clicked.
  await expect(async () => {
    if ((await details.getAttribute('aria-expanded')) !== 'true') {
      await details.click();
    }
    await expect(panel).toContainText('opened.ipynb', { timeout: 3000 });
  }).toPass();
  await expect(panel).not.toContainText('Nothing has been open');
  await details.click();
  await studio.jupyter('DELETE', `api/sessions/${id}`);
});

test('of two tabs one warns, and the other when that is closed right away', async ({
  browser
}) => {
  const context = await browser.newContext();
  const first = await context.newPage();
  const second = await context.newPage();
  for (const tab of [first, second]) {
    await openLab(tab, studio.labUrl);
  }
  const count = async (): Promise<number[]> => [
    await warning(first).count(),
    await warning(second).count()
  ];
  await warnFor(60);
  await expect
    .poll(async () => (await count()).sort(), { intervals: [100] })
    .toEqual([0, 1]);
  const [inFirst] = await count();
  const [shown, other] = inFirst ? [first, second] : [second, first];
  // It knows, too, and leaves it to the other tab.
  await expect(
    other.getByRole('button', { name: /SageMaker AutoShutdown:/ })
  ).toContainText('Stops in');
  await expect(warning(other)).toHaveCount(0);
  await shown.close();
  await expect(warning(other)).toHaveCount(1);
  await context.close();
});

test('the warning goes when activity resumes', async () => {
  await warnFor(59);
  await expect(warning()).toHaveCount(1);
  const { kernel } = await startSession(studio, 'again.ipynb', kernelspec);
  await run(page, studio, kernel.id, 'import time; time.sleep(12)');
  await expect(warning()).toHaveCount(0);
});

test('a warning that was closed does not come back for the same deadline', async () => {
  await warnFor(200);
  await expect(warning()).toHaveCount(1);
  await warning()
    .getByRole('button', { name: /close|hide/i })
    .click();
  await expect(warning()).toHaveCount(0);
  // Some checks later it is the same deadline.
  const timer = panel.getByRole('timer');
  const before = await secondsLeft(timer);
  await expect.poll(() => secondsLeft(timer)).toBeLessThan(before - 6);
  await expect(warning()).toHaveCount(0);
  await page.reload();
  await whenUp(page);
  panel = await openPanel(page);
  await expect(panel.getByText('Stops soon')).toBeVisible();
  await expect(warning()).toHaveCount(0);
});

test('a server that does not answer is said, and forgotten when it is back', async () => {
  await page.route('**/sagemaker-autoshutdown/api/**', route => route.abort());
  await askAgain();
  await expect(panel).toContainText('The server does not answer');
  await expect(panel).toContainText('datascience-1.0');
  await page.unroute('**/sagemaker-autoshutdown/api/**');
  await askAgain();
  await expect(panel).not.toContainText('The server does not answer');
});

test('a shutdown that fails is explained, with the IAM action that is missing', async () => {
  await studio.fault({
    operation: 'DeleteApp',
    code: 'AccessDeniedException',
    message: 'not authorized to perform: sagemaker:DeleteApp'
  });
  await warnFor(5);
  await expect(panel.getByText(/sagemaker:DeleteApp/)).toHaveCount(1);
  await expect(panel.getByText('Not shut down', { exact: true })).toBeVisible();
  await expect(panel).toContainText('1 attempt failed. The next one is at');
});

test('apps that can not be listed are explained, with the IAM action that is missing', async () => {
  await studio.fault({
    operation: 'ListApps',
    code: 'AccessDeniedException',
    message: 'not authorized to perform: sagemaker:ListApps'
  });
  await expect(panel).toContainText('sagemaker:ListApps');
  await expect(panel.getByText('Unknown', { exact: true })).toBeVisible();
  await studio.faultsOff();
  await expect(panel).not.toContainText('sagemaker:ListApps');
});

test('"Shut down" asks first, and does nothing if the user thinks better of it', async () => {
  await panel.getByRole('button', { name: 'Shut down datascience' }).click();
  const dialog = page.locator('.jp-Dialog');
  await expect(dialog).toContainText('Shut down datascience-1.0?');
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await expect(dialog).toHaveCount(0);
  expect((await onlyApp(studio)).status).toBe('InService');
});

test('an idle app goes at its deadline, however often the panel asks and whatever it listens to', async () => {
  const before = (await studio.calls('DeleteApp')).length;
  const LIMIT = 15;
  /** The app in each answer to the panel. */
  const told: string[] = [];
  const note = async (response: Response): Promise<void> => {
    if (response.url().includes('autoshutdown/api/status') && response.ok()) {
      const { apps } = (await response.json()) as Status;
      const [app] = apps.filter(each => each.state === 'warned');
      if (app?.idle_timeout === LIMIT) {
        told.push(`${app.idle_since ?? ''} ${app.shutdown_at ?? ''}`);
      }
    }
  };
  page.on('response', note);
  // Otherwise the next state may be shorter than the time between two answers.
  await studio.fault({ operation: 'DeleteApp', hang: true });
  await warnFor(LIMIT);
  await expect
    .poll(
      async () => {
        await askAgain();
        return told.length;
      },
      { intervals: [200] }
    )
    .toBeGreaterThanOrEqual(8);
  page.off('response', note);
  expect(new Set(told).size).toBe(1);
  if ((await labVersion(page)).startsWith('4')) {
    expect(sockets.join()).toContain('api/events/subscribe');
  }
  await expect(panel.getByRole('timer')).toHaveText(/0:0\d$/);
  const going = panel.getByText('Shutting down', { exact: true }).first();
  await expect(async () => {
    await askAgain();
    await expect(going).toBeVisible({ timeout: 300 });
  }).toPass();
  await studio.faultsOff();
  await expect(panel).toContainText('Nothing running');
  await expect(warning()).toHaveCount(0);
  expect(await studio.calls('DeleteApp')).toHaveLength(before + 1);
  const { apps } = await status(studio);
  expect(apps.filter(app => app.status === 'InService')).toEqual([]);
  await expect(panel).toContainText(
    /datascience-1-0 shut down after \d+\s(s|min) idle/
  );
});

test('"Shut down" shuts an app down that is not idle at all', async () => {
  const { kernel } = await startSession(studio, 'new.ipynb', kernelspec);
  await run(page, studio, kernel.id, 'import time; time.sleep(600)');
  await expect(panel).toContainText(
    /A cell has been running for .* in new\.ipynb/
  );
  await panel.getByRole('button', { name: 'Shut down datascience' }).click();
  const dialog = page.locator('.jp-Dialog');
  await expect(dialog).toContainText('Still running: new.ipynb');
  await dialog.getByRole('button', { name: 'Shut down' }).click();
  await expect(panel).toContainText('Nothing running');
});
