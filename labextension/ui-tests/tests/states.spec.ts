/**
 * Each state of the panel, in each theme, is accessible; screenshots of them are attached.
 */

import AxeBuilder from '@axe-core/playwright';
import { expect, test, type Page } from '@playwright/test';

import * as fixtures from '../../src/testing/fixtures';
import { answerWith, type IAnswers } from '../helpers/answers';
import {
  openLab,
  openPanel,
  PANEL,
  setPanelWidth,
  setTheme,
  whenUp,
  type Theme
} from '../helpers/lab';
import { Studio } from '../helpers/studio';

const THEMES: Theme[] = [
  'JupyterLab Light',
  'JupyterLab Dark',
  'JupyterLab Dark High Contrast'
];

const STATES: Record<string, IAnswers> = {
  'busy and warned': {
    status: fixtures.status({ apps: [fixtures.busyApp, fixtures.warnedApp] })
  },
  'idle, nothing recorded': {
    status: fixtures.status({ apps: [fixtures.app()], totals: null })
  },
  active: { status: fixtures.status({ apps: [fixtures.activeApp] }) },
  kept: { status: fixtures.status({ apps: [fixtures.keptApp] }) },
  'can not delete, failed': {
    status: fixtures.status({
      apps: [fixtures.undeletableApp, fixtures.brokenApp]
    })
  },
  starting: { status: fixtures.status({ apps: [fixtures.startingApp] }) },
  'shutting down': { status: fixtures.status({ apps: [fixtures.goingApp] }) },
  'can not see': {
    status: fixtures.status({
      apps: [fixtures.unseenApp],
      check_overdue: true,
      problems: [
        {
          code: 'access_denied',
          message:
            'SageMaker did not list the apps (AccessDeniedException), so nothing is shut down.',
          remedy:
            'Ask your administrator to allow the IAM action sagemaker:ListApps to the execution role.',
          iam_action: 'sagemaker:ListApps',
          since: fixtures.at(-600)
        }
      ],
      recording_error: 'the disk is full',
      notes: ['psutil is not installed: background jobs can not be seen.']
    })
  },
  'dry run': { status: fixtures.status({ dry_run: true }) },
  space: {
    status: fixtures.status({
      host: 'space',
      owner: 'team-a',
      owner_kind: 'space',
      apps: [fixtures.spaceApp]
    })
  },
  'nothing runs': { status: fixtures.status({ apps: [] }) },
  'two apps of one image': {
    status: fixtures.status({
      apps: [
        fixtures.app(),
        fixtures.app({ app_name: 'another', instance_type: 'ml.c5.18xlarge' })
      ]
    })
  },
  'connection lost': { status: 502 },
  'login over': { status: 403 },
  'off SageMaker': { status: fixtures.nowhere }
};

/** Those that a user sees every day: a card is a few lines then. */
const SHORT = ['busy and warned', 'active', 'kept', 'starting', 'dry run'];

/** What the panel says where there is no status. */
const SAID: Record<number, string> = {
  403: 'Reload it to log in again',
  404: 'has no SageMaker AutoShutdown extension',
  502: 'The server does not answer'
};

/** In pixels: as narrow as JupyterLab makes a side panel by itself, and a comfortable one. */
const WIDTHS = [250, 400];

let studio: Studio;

test.beforeAll(async () => {
  studio = await Studio.start({
    serverArguments: ['--LabApp.expose_app_in_browser=True']
  });
});

test.afterAll(() => studio.stop());

/** Let the panel ask again, and wait until it shows what it was answered. */
async function show(page: Page, answers: IAnswers): Promise<void> {
  const answered = page.waitForResponse(/sagemaker-autoshutdown\/api\/status/);
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await answered;
  const panel = page.locator(PANEL);
  if (typeof answers.status === 'number') {
    await expect(panel).toContainText(SAID[answers.status] ?? '');
  } else if (answers.status.host === 'none') {
    await expect(panel).toContainText(answers.status.message);
  } else {
    const { apps } = answers.status;
    await expect(panel.locator('.jp-AutoShutdown-app')).toHaveCount(
      apps.length
    );
    for (const app of apps) {
      const states = panel.locator('.jp-AutoShutdown-app');
      await expect(
        states.and(page.locator(`[data-state=${app.state}]`))
      ).not.toHaveCount(0);
    }
  }
}

async function violations(page: Page): Promise<string[]> {
  const axe = new AxeBuilder({ page }).include(PANEL);
  if (await page.locator('.jp-AutoShutdown-statusBar').count()) {
    axe.include('.jp-AutoShutdown-statusBar');
  }
  const { violations: found } = await axe.analyze();
  return found.flatMap(({ id, nodes }) =>
    nodes.map(node => `${id}: ${node.html}\n${node.failureSummary ?? ''}`)
  );
}

/** In pixels, of each instance's box with the apps on it. */
function heights(page: Page): Promise<number[]> {
  return page
    .locator('.jp-AutoShutdown-instance')
    .evaluateAll(boxes => boxes.map(box => box.getBoundingClientRect().height));
}

/** Whether something sticks out to the right. */
async function isCut(page: Page): Promise<boolean> {
  return page
    .locator(PANEL)
    .evaluate(panel => panel.scrollWidth > panel.clientWidth);
}

for (const theme of THEMES) {
  test(`every state is accessible in ${theme}, and none is cut off`, async ({
    page
  }, info) => {
    test.slow();
    await page.setViewportSize({ width: 1100, height: 1500 });
    const answers: IAnswers = { status: fixtures.status() };
    await answerWith(page, answers);
    await openLab(page, studio.labUrl);
    const panel = await openPanel(page);
    if (!(await setTheme(page, theme))) {
      // It came with JupyterLab 4.2.
      expect(theme).toBe('JupyterLab Dark High Contrast');
      return;
    }

    const look = async (name: string, width: number): Promise<void> => {
      const file = `${name} ${theme} ${width}.png`.replace(/[ ,]+/g, '-');
      await panel.screenshot({ path: info.outputPath(file) });
      expect.soft(await isCut(page), `${name} at ${width} px`).toBe(false);
      expect.soft(await violations(page)).toEqual([]);
    };

    await page.getByText('Limits', { exact: true }).click();
    for (const width of WIDTHS) {
      await setPanelWidth(page, width);
      for (const [name, state] of Object.entries(STATES)) {
        await test.step(`${name}, ${width} px`, async () => {
          answers.status = state.status;
          await show(page, state);
          await look(name, width);
          if (SHORT.includes(name)) {
            const tallest = Math.max(0, ...(await heights(page)));
            expect.soft(tallest, name).toBeLessThanOrEqual(130);
          }
        });
      }
      answers.status = fixtures.status();
      await show(page, answers);
    }

    await test.step('no extension on the server', async () => {
      answers.status = 404;
      // Once it was there, it is lost: a server that restarts behind a proxy looks the same.
      await show(page, { status: 502 });
      await page.reload();
      await whenUp(page);
      await openPanel(page);
      await expect(panel).toContainText(SAID[404] ?? '');
      await look('no extension', WIDTHS[0] ?? 0);
    });
  });
}

for (const theme of THEMES.slice(0, 2)) {
  test(`what is opened, and what is refused, is accessible in ${theme}`, async ({
    page
  }, info) => {
    await page.setViewportSize({ width: 1100, height: 1900 });
    await answerWith(page, {
      status: fixtures.status({ apps: [fixtures.busyApp] }),
      settings: fixtures.settings({
        max_keep_alive: 7200,
        saved: false,
        notes: ['idle_timeout: 60 is below the least that is allowed.']
      })
    });
    await openLab(page, studio.labUrl);
    const panel = await openPanel(page);
    await setTheme(page, theme);
    await setPanelWidth(page, WIDTHS[0] ?? 0);
    await panel.getByRole('button', { name: 'Details of' }).click();
    await panel.getByRole('button', { name: 'About these figures' }).click();
    await panel.getByRole('button', { name: 'Show more' }).click();
    await panel.getByRole('slider', { name: 'Cost by day' }).focus();
    await page.keyboard.press('ArrowLeft');
    await expect(panel).toContainText('Thu, Sep 17: in use');
    await panel.getByText('Limits', { exact: true }).click();
    await panel.getByRole('button', { name: 'until a time' }).click();
    await panel
      .getByLabel('Keep until', { exact: true })
      .fill('2099-01-01T10:00');
    await panel.getByRole('button', { name: 'Keep', exact: true }).click();
    const limit = 'Shut down after an idle time of';
    await panel.getByLabel(limit, { exact: true }).fill('9');
    await panel.getByRole('button', { name: `Save: ${limit}` }).click();
    await expect(panel.getByRole('alert').filter({ hasText: /./ })).toHaveCount(
      2
    );
    await panel.screenshot({ path: info.outputPath('opened.png') });
    expect(await violations(page)).toEqual([]);
    expect(await isCut(page)).toBe(false);
  });
}

test('colours that are forced hide neither icons nor what the chart means', async ({
  page
}, info) => {
  await answerWith(page, { status: fixtures.status() });
  await openLab(page, studio.labUrl);
  const panel = await openPanel(page);
  await expect(panel.getByRole('slider')).toBeVisible();
  // A dark theme under light colours.
  await setTheme(page, 'JupyterLab Dark');
  for (const forcedColors of ['none', 'active'] as const) {
    await page.emulateMedia({ forcedColors });
    const { bar, key, icon, text } = await panel.evaluate(node => {
      const style = (selector: string, pseudo?: string): CSSStyleDeclaration =>
        getComputedStyle(node.querySelector(selector) as Element, pseudo);
      return {
        bar: style('.jp-AutoShutdown-inUse').fill,
        key: style('.jp-AutoShutdown-keyInUse', '::before').backgroundColor,
        icon: style('.jp-AutoShutdown-state svg').fill,
        text: style('.jp-AutoShutdown-state').color
      };
    });
    expect(key).toBe(bar);
    if (forcedColors === 'active') {
      expect(icon).toBe(text);
    }
    const path = info.outputPath(`forced-colors-${forcedColors}.png`);
    await panel.screenshot({ path });
  }
});
