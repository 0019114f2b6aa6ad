/**
 * Each state of the panel, in each theme, at both widths: accessible, not cut off, and short.
 *
 * `PICTURES=1 jlpm test states` leaves a screenshot of each in `test-results`, to look at.
 */

import { expect, test, type Page } from '@playwright/test';
import axe from 'axe-core';

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

interface ILook {
  theme: Theme;
  /** The system's colours instead of the page's, as in Windows' high contrast. */
  forcedColors?: 'active';
}

const LOOKS: ILook[] = [
  { theme: 'JupyterLab Light' },
  { theme: 'JupyterLab Dark' },
  { theme: 'JupyterLab Dark High Contrast' },
  // A dark theme under light colours.
  { theme: 'JupyterLab Dark', forcedColors: 'active' }
];

/** As long as SageMaker allows. */
const LONG_NAME = 'sagemaker-data-science-and-more-'.repeat(2);

const fourApps = [
  fixtures.app(),
  fixtures.app({ app_name: 'b', image: `image/${'a'.repeat(40)}` }),
  { ...fixtures.warnedApp, instance_type: 'ml.t3.medium' },
  { ...fixtures.busyApp, app_name: 'd', image: 'image/sagemaker-base' }
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
  'four apps': {
    status: fixtures.status({
      apps: fourApps,
      instances: [
        fixtures.instance({ app_names: fourApps.map(each => each.app_name) })
      ]
    })
  },
  'busy and kept': {
    status: fixtures.status({
      apps: [{ ...fixtures.busyApp, kept_until: fixtures.at(3600) }]
    })
  },
  'no browser open': {
    status: fixtures.status({
      apps: [
        fixtures.app({
          limit: 'closed_idle_timeout',
          idle_timeout: 600,
          shutdown_at: fixtures.at(300)
        })
      ]
    })
  },
  'checks stalled': { status: fixtures.status({ check_overdue: true }) },
  'before the first check': {
    status: fixtures.status({ apps: [], checked_at: null, totals: null })
  },
  unpriced: {
    status: fixtures.status({
      instances: [
        fixtures.instance({ usd_per_hour: null, price_source: 'unpriced' })
      ]
    })
  },
  'long and dear': {
    status: fixtures.status({
      apps: [
        fixtures.app({
          app_name: LONG_NAME,
          image: `image/${LONG_NAME}`,
          instance_type: 'ml.p4d.24xlarge',
          shutdown_at: fixtures.at(30 * 24 * 3600 + 3540),
          idle_timeout: 31 * 24 * 3600
        }),
        {
          ...fixtures.busyApp,
          subject: `work/${'a-very-long-name-of-a-notebook_'.repeat(6)}.ipynb`
        }
      ],
      instances: [
        fixtures.instance({
          app_names: [LONG_NAME],
          instance_type: 'ml.p4d.24xlarge',
          usd_per_hour: '100',
          price_source: 'estimate'
        }),
        fixtures.instance()
      ],
      totals: {
        today: fixtures.money({ usd: '2400.00', idle_usd: '1200.00' }),
        month: fixtures.money({
          usd: '72000.00',
          idle_usd: '36000.00',
          estimated: true
        }),
        last_30_days: fixtures.money({
          usd: '72000.00',
          idle_usd: '36000.00',
          avoided_usd: '12345.67',
          estimated: true
        })
      }
    })
  },
  'notebook instance': {
    status: fixtures.status({
      host: 'notebook-instance',
      owner: '',
      domain_id: '',
      apps: [
        fixtures.app({
          app_name: 'my-notebook-instance',
          app_type: 'NotebookInstance' as 'JupyterLab',
          image: ''
        })
      ]
    })
  },
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

/** The states that a user sees every day: a card then has a few lines. */
const SHORT = [
  'busy and warned',
  'active',
  'kept',
  'busy and kept',
  'starting',
  'shutting down',
  'dry run',
  'four apps',
  'no browser open',
  'space',
  'unpriced',
  'long and dear',
  'notebook instance'
];

/** The panel's message without a status. */
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

/** Let the panel ask again. */
async function ask(page: Page): Promise<void> {
  const answered = page.waitForResponse(/sagemaker-autoshutdown\/api\/status/);
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await answered;
}

/** Let the panel ask again, and wait until it shows the answer. */
async function show(page: Page, answers: IAnswers): Promise<void> {
  await ask(page);
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
  await page.evaluate(
    `globalThis.axe === undefined && (() => { ${axe.source} })()`
  );
  return page.evaluate(
    async ([panel, bar]) => {
      const { axe: here } = globalThis as unknown as { axe: typeof axe };
      const include = [panel, bar].filter(each => document.querySelector(each));
      const { violations: found } = await here.run(
        { include },
        { resultTypes: ['violations'] }
      );
      return found.flatMap(({ id, nodes }) =>
        nodes.map(node => `${id}: ${node.html}\n${node.failureSummary ?? ''}`)
      );
    },
    [PANEL, '.jp-AutoShutdown-statusBar'] as const
  );
}

/** In pixels, of each card: an instance's box with the app on it, or one of several apps on it. */
function heights(page: Page): Promise<number[]> {
  return page.locator('.jp-AutoShutdown-instance').evaluateAll(boxes =>
    boxes.flatMap(box => {
      const apps = [...box.querySelectorAll('.jp-AutoShutdown-app')];
      const cards = apps.length === 1 ? [box] : apps;
      return cards.map(card => card.getBoundingClientRect().height);
    })
  );
}

/** Whether something sticks out to the right, or below another. */
async function isCut(page: Page): Promise<boolean> {
  return page.locator(PANEL).evaluate(panel => {
    const right = panel.getBoundingClientRect().left + panel.clientWidth;
    return [...panel.querySelectorAll('*')].some(
      each => each.getBoundingClientRect().right > right + 0.5
    );
  });
}

for (const { theme, forcedColors } of LOOKS) {
  const name = forcedColors ? 'forced colours' : theme;
  test(`every state is accessible in ${name}, and none is cut off`, async ({
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
    await page.emulateMedia({ forcedColors: forcedColors ?? null });

    const look = async (state: string, width: number): Promise<void> => {
      if (process.env.PICTURES) {
        const file = `${state} ${name} ${width}.png`.replace(/[ ,]+/g, '-');
        await panel.screenshot({ path: info.outputPath(file) });
      }
      expect.soft(await isCut(page), `${state} at ${width} px`).toBe(false);
      expect.soft(await violations(page), state).toEqual([]);
    };

    for (const width of WIDTHS) {
      await setPanelWidth(page, width);
      for (const [state, shown] of Object.entries(STATES)) {
        await test.step(`${state}, ${width} px`, async () => {
          answers.status = shown.status;
          await show(page, shown);
          await look(state, width);
          if (SHORT.includes(state)) {
            const tallest = Math.max(0, ...(await heights(page)));
            expect.soft(tallest, state).toBeLessThanOrEqual(130);
          }
        });
      }
      answers.status = fixtures.status();
      await show(page, answers);
    }

    await test.step('the server ended with its app', async () => {
      const going = { state: 'shutting_down' as const, idle_since: null };
      answers.status = fixtures.status({
        host: 'space',
        apps: [{ ...fixtures.spaceApp, ...going, shutdown_at: null }]
      });
      await show(page, answers);
      answers.status = 502;
      await ask(page);
      await expect(panel).toContainText('This JupyterLab was shut down at');
      await look('ended', WIDTHS[1] ?? 0);
    });

    await test.step('no extension on the server, and before any answer', async () => {
      await page.reload();
      await whenUp(page);
      await openPanel(page);
      await expect(panel).toContainText('The server does not answer');
      answers.status = 404;
      await ask(page);
      await expect(panel).toContainText(SAID[404] ?? '');
      await look('no extension', WIDTHS[1] ?? 0);
      await page.route('**/sagemaker-autoshutdown/api/**', () => undefined);
      await page.reload();
      await whenUp(page);
      await openPanel(page);
      await expect(panel).toContainText('Loading…');
      await look('loading', WIDTHS[1] ?? 0);
    });
  });
}

for (const { theme } of LOOKS.slice(0, 2)) {
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
    const chart = panel.getByRole('slider', { name: 'Cost by day' });
    await expect(async () => {
      // JupyterLab may take the focus to its Launcher some time after it was loaded.
      await chart.press('End');
      await chart.press('ArrowLeft');
      await expect(panel).toContainText('Thu, Sep 17: in use', {
        timeout: 1000
      });
    }).toPass();
    await panel.getByText('Limits', { exact: true }).click();
    await panel.getByRole('button', { name: 'until a time' }).click();
    await panel
      .getByLabel('Keep until', { exact: true })
      .fill('2099-01-01T10:00');
    await panel.getByRole('button', { name: 'Keep', exact: true }).click();
    const limit = 'Idle limit';
    await panel.getByLabel(limit, { exact: true }).fill('9');
    await panel
      .getByRole('button', { name: `Save: ${limit}`, exact: true })
      .click();
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
