/**
 * What a page costs the server while nobody looks at it, and where a page of Studio leads when its
 * server has ended.
 */

import { expect, test, type Page } from '@playwright/test';

import type { Status } from '../../src/openapi';
import * as fixtures from '../../src/testing/fixtures';
import { change, status } from '../helpers/api';
import { answerWith, type IAnswers } from '../helpers/answers';
import { openLab, openPanel, PANEL } from '../helpers/lab';
import { kernelspecOf, run, startSession } from '../helpers/notebook';
import { Studio } from '../helpers/studio';

/** Longer than any interval of the panel's. */
const HOUR_MS = 3_600_000;

let studio: Studio;

test.beforeAll(async () => {
  studio = await Studio.start({
    apps: ['datascience-1.0,ml.t3.medium'],
    // A page of a space's domain is not this machine's own.
    serverArguments: ['--ServerApp.allow_remote_access=True'],
    traits: { active_time: 1, poll_interval: 2 }
  });
});

test.afterAll(() => studio.stop());

/** Our requests from now on, as `METHOD name`. */
function requests(page: Page): string[] {
  const seen: string[] = [];
  page.on('request', request => {
    const [, name] =
      /sagemaker-autoshutdown\/api\/([^?]*)/.exec(request.url()) ?? [];
    if (name !== undefined) {
      seen.push(`${request.method()} ${name}`);
    }
  });
  return seen;
}

/** What a browser tells a page when another tab is chosen, or this one again. */
async function setHidden(page: Page, hidden: boolean): Promise<void> {
  await page.evaluate(isHidden => {
    Object.defineProperty(document, 'hidden', {
      configurable: true,
      get: () => isHidden
    });
    Object.defineProperty(document, 'visibilityState', {
      configurable: true,
      get: () => (isHidden ? 'hidden' : 'visible')
    });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
}

/** A request of the page's own: what it had to send before was sent before. */
async function roundTrip(page: Page): Promise<void> {
  await page.evaluate(
    async url => (await fetch(url)).text(),
    studio.url('api')
  );
}

test('a hidden tab asks for nothing, and says only that it is closed', async ({
  page
}) => {
  await page.clock.install();
  await openLab(page, studio.labUrl);
  const panel = await openPanel(page);
  await expect(panel).toContainText('datascience-1.0');
  const seen = requests(page);
  // Seen, it asks again and again.
  await page.clock.fastForward(HOUR_MS);
  await expect
    .poll(() => seen)
    .toEqual(
      expect.arrayContaining([
        'GET status',
        'GET settings',
        'GET costs',
        'GET history'
      ])
    );

  // Somebody is there for the server while a kernel is connected.
  const name = await kernelspecOf(studio, 'datascience-1.0');
  const { kernel } = await startSession(studio, 'seen.ipynb', name);
  await run(page, studio, kernel.id, 'pass');
  const presence = async (): Promise<Status['presence']> =>
    (await status(studio)).presence;
  await expect.poll(async () => (await presence()).is_known).toBe(true);

  await setHidden(page, true);
  await roundTrip(page);
  seen.length = 0;
  // Whatever the server tells, and however long it takes.
  await change(studio, { idle_timeout: 3000, warning_time: 2990 });
  await page.clock.fastForward(HOUR_MS);
  await change(studio, { idle_timeout: 3600 });
  await page.clock.fastForward(HOUR_MS);
  await roundTrip(page);
  expect(seen).toEqual([]);

  // No browser tells of what a page sends as it goes. The server would wait for minutes for a tab
  // that was only cut off.
  expect((await presence()).closed_since).toBeNull();
  await page.goto('about:blank');
  await expect.poll(async () => (await presence()).closed_since).not.toBeNull();
  expect(seen).toEqual([]);
});

test('a tab that is looked at again shows at once what it missed', async ({
  page
}) => {
  await openLab(page, studio.labUrl);
  await openPanel(page);
  await setHidden(page, true);
  await change(studio, { idle_timeout: 7200, warning_time: 60 });
  const seen = requests(page);
  await setHidden(page, false);
  await expect.poll(() => seen).toContain('GET status');
  await expect(page.locator(PANEL).getByRole('timer')).toHaveText(
    /Shuts down in (2\sh|1\sh\s\d+\smin)/
  );
});

test('where a space has ended, its page leads to Studio', async ({ page }) => {
  const going = { state: 'shutting_down' as const, idle_since: null };
  const answers: IAnswers = {
    status: fixtures.status({
      host: 'space',
      domain_id: 'd-abcdefghijkl',
      apps: [{ ...fixtures.spaceApp, ...going, shutdown_at: null }]
    })
  };
  await answerWith(page, answers);
  const url = new URL(studio.labUrl);
  url.hostname = 'abcdefgh.studio.us-east-2.sagemaker.aws';
  await openLab(page, url.toString());
  const panel = await openPanel(page);
  await expect(panel).toContainText('Shutting down');
  answers.status = 502;
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await expect(panel).toContainText('This JupyterLab was shut down at');
  await expect(
    panel.getByRole('link', { name: 'Open it again in SageMaker Studio' })
  ).toHaveAttribute(
    'href',
    'https://studio-d-abcdefghijkl.studio.us-east-2.sagemaker.aws/jupyterlab'
  );
  await expect(
    page
      .locator('.Toastify__toast')
      .filter({ hasText: 'This JupyterLab was shut down at' })
  ).toBeVisible();
});
