/**
 * Each state of the panel, in each theme, at both widths: accessible, not cut off, and short.
 *
 * Where things are does not depend on colours, nor colours on the width: the comfortable width is
 * looked at in one theme. JupyterLab 3.6 has its own colours, but those of the system are the same.
 * One page shows it all, because JupyterLab takes long to load.
 *
 * `PICTURES=1 jlpm test states` leaves a screenshot of each in `test-results`, to look at.
 */

import { expect, test, type Locator, type Page } from '@playwright/test';
import axe from 'axe-core';

import * as fixtures from '../../src/testing/fixtures';
import { answerWith, type IAnswers } from '../helpers/answers';
import {
  declineKernels,
  labVersion,
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

/** A fleet's mark, of a rule that acts an hour before the app's own limit. */
const mark = {
  shutdown_at: fixtures.at(300),
  rule: 'nights',
  why: 'idle for 1 h after 20:00'
};

const gpu = fixtures.work({
  kind: 'gpu',
  id: '0',
  label: 'GPU 0 (Tesla T4)',
  state: '',
  last_activity: fixtures.at(-20),
  connections: 0,
  background_job: true,
  evidence: [{ kind: 'gpu', text: 'GPU 0 at 93 % (python3)', at: null }]
});

/** Of the same user, on the same machine. */
const secondServer = fixtures.work({
  kind: 'server',
  id: '4711',
  label: 'Jupyter server on port 8889',
  state: 'unknown',
  last_activity: null,
  connections: 0,
  evidence: [
    {
      kind: 'server',
      text: 'Jupyter server on port 8889 did not answer',
      at: fixtures.at(-20)
    }
  ]
});

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
  marked: { status: fixtures.status({ apps: [fixtures.app({ mark })] }) },
  'kept and marked': {
    status: fixtures.status({ apps: [{ ...fixtures.keptApp, mark }] })
  },
  'dry run, overdue': {
    status: fixtures.status({ dry_run: true, apps: [fixtures.warnedApp] })
  },
  'busy and kept': {
    status: fixtures.status({
      apps: [{ ...fixtures.busyApp, kept_until: fixtures.at(3600) }]
    })
  },
  'a GPU works': {
    status: fixtures.status({
      apps: [
        {
          ...fixtures.busyApp,
          reason: 'gpu_busy',
          subject: gpu.label,
          work: [gpu]
        }
      ]
    })
  },
  'a second server does not answer': {
    status: fixtures.status({
      apps: [
        {
          ...fixtures.unseenApp,
          reason: 'server_unseen',
          subject: secondServer.label,
          work: [secondServer]
        }
      ]
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
  'one of two unpriced': {
    status: fixtures.status({
      instances: [
        fixtures.instance(),
        fixtures.instance({
          instance_type: 'ml.new.large',
          app_names: [],
          usd_per_hour: null,
          price_source: 'unpriced'
        })
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
  'a GPU works',
  'a second server does not answer',
  'marked',
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

interface ISaid {
  /** The panel's first words, its app where there are several, and what it costs. */
  top: RegExp;
  bar: RegExp;
  /** The words on the cards' badges. */
  badges?: string[];
}

/** What is said of a state in the two places where people look first. */
const ANSWERS: Record<string, ISaid> = {
  'idle, nothing recorded': {
    top: /^Shuts down in 1 h at 1:00 PM\$0\.05\/h$/,
    bar: /^Stops in 1 h · \$0\.05\/h$/,
    badges: ['Idle']
  },
  'busy and warned': {
    top: /^Shuts down in [34]:\d\d at 12:04 PM ?pytorch-2\.0\.0-gpu-py310 ?\$0\.79\/h · \$3\.50 today$/,
    bar: /^Stops in [34]:\d\d · \$0\.79\/h$/,
    badges: ['Busy', 'Stops soon']
  },
  'busy and kept': {
    top: /^Busy: train\.ipynb ?\$0\.05\/h · \$3\.50 today$/,
    bar: /^Busy · \$0\.05\/h$/
  },
  kept: {
    top: /^Kept until 4:00 PM/,
    bar: /^Kept 4 h · \$0\.05\/h$/,
    badges: ['Kept']
  },
  'dry run': {
    top: /^Dry run: nothing is shut down/,
    bar: /^Dry run · \$0\.05\/h$/
  },
  'dry run, overdue': {
    top: /^Dry run: nothing is shut down/,
    bar: /^Dry run · /,
    badges: ['Overdue']
  },
  'a GPU works': {
    top: /^Busy: GPU 0 \(Tesla T4\)/,
    bar: /^Busy · \$0\.05\/h$/,
    badges: ['Busy']
  },
  'a second server does not answer': {
    top: /^Activity unknown: not shut down/,
    bar: /^Activity unknown · \$0\.05\/h$/,
    badges: ['Unknown']
  },
  'nothing runs': {
    top: /^Nothing running ?\$3\.50 today$/,
    bar: /^Nothing running$/
  },
  'shutting down': {
    top: /^Shutting down/,
    bar: /^Shutting down · \$0\.05\/h$/,
    badges: ['Shutting down']
  },
  unpriced: {
    top: /^Shuts down in 1 h at 1:00 PM ?Price unknown · \$3\.50 today$/,
    bar: /^Stops in 1 h · Price unknown$/
  },
  'one of two unpriced': {
    top: /\$0\.05\/h \+ 1 without a price · \$3\.50 today$/,
    bar: /^Stops in 1 h · \$0\.05\/h \+ 1 without a price$/
  },
  starting: {
    top: /^Starting/,
    bar: /^Starting · \$0\.05\/h$/,
    badges: ['Starting']
  },
  'can not delete, failed': {
    top: /^Could not be shut down/,
    bar: /^! Not shut down · /,
    badges: ['Not shut down', 'Did not start']
  },
  marked: {
    top: /^Shuts down in [45]:\d\d at 12:05 PM/,
    bar: /^Stops in [45]:\d\d · \$0\.05\/h$/
  },
  'kept and marked': { top: /^Kept until 4:00 PM/, bar: /^Kept 4 h · / },
  'long and dear': {
    top: /\$100\.05\/h · \$2,400\.00 today$/,
    bar: /^Stops in 30 d · /
  }
};

/** The panel's message without a status. */
const SAID: Record<number, string> = {
  403: 'Reload it to log in again',
  404: 'has no SageMaker AutoShutdown extension',
  502: 'The server does not answer'
};

/** In pixels: as narrow as JupyterLab makes a side panel by itself, and a comfortable one. */
const WIDTHS = [250, 400];

const API = '**/sagemaker-autoshutdown/api/**';

let studio: Studio;
let page: Page;
let panel: Locator;
let isLab3: boolean;
/** How many states were shown. */
let shown = 0;
/** What the panel is told; each test begins with the same. */
const answers: IAnswers = { status: fixtures.status() };

test.beforeAll(async ({ browser }) => {
  studio = await Studio.start({
    serverArguments: ['--LabApp.expose_app_in_browser=True']
  });
  page = await browser.newPage();
  await answerWith(page, answers);
  await openLab(page, studio.labUrl);
  isLab3 = (await labVersion(page)).startsWith('3');
  panel = await openPanel(page);
});

test.beforeEach(async () => {
  await setLook({ theme: 'JupyterLab Light' });
  await page.setViewportSize({ width: 1100, height: 1500 });
  delete answers.settings;
  answers.status = fixtures.status();
  await show();
});

test.afterAll(async () => {
  await page.close();
  await studio.stop();
});

/** Whether JupyterLab has such a theme, and what only this version can show. */
function isWorthALook({ theme, forcedColors }: ILook): boolean {
  // The theme came with JupyterLab 4.2.
  return (
    !isLab3 || (theme !== 'JupyterLab Dark High Contrast' && !forcedColors)
  );
}

function nameOf({ theme, forcedColors }: ILook): string {
  return forcedColors ? 'forced colours' : theme;
}

async function setLook({ theme, forcedColors }: ILook): Promise<void> {
  expect(await setTheme(page, theme)).toBe(true);
  await page.emulateMedia({ forcedColors: forcedColors ?? null });
}

/** As for a user who has just come: with nothing opened, and nothing known of before. */
async function reload(): Promise<void> {
  await page.reload();
  await whenUp(page);
  await openPanel(page);
}

/** Let the panel ask again. */
async function ask(): Promise<void> {
  const answered = page.waitForResponse(/sagemaker-autoshutdown\/api\/status/);
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await answered;
}

/** Let the panel ask again, and wait until it shows the answer: this one, not another like it. */
async function show(): Promise<void> {
  const { status } = answers;
  let said = '';
  if (typeof status === 'number') {
    said = SAID[status] ?? '';
  } else if (status.host === 'none') {
    said = status.message;
  } else {
    shown += 1;
    said = `0.1.0+${String(shown)}.`;
    answers.status = { ...status, version: said };
  }
  await ask();
  await page.waitForFunction(
    ([panel, text]) =>
      document.querySelector(panel)?.textContent?.includes(text),
    [PANEL, said] as const
  );
}

interface ISeen {
  violations: string[];
  /** Whether something sticks out to the right. */
  isCut: boolean;
  /** In pixels, of each card: an instance's box with the app on it, or one of several apps on it. */
  heights: number[];
}

/** What is wrong with the panel and the status bar as they are. */
async function inspect(): Promise<ISeen> {
  const isThere = await page.evaluate(() => 'axe' in globalThis);
  if (!isThere) {
    await page.evaluate(axe.source);
  }
  return page.evaluate(
    async ([selector, bar]) => {
      const { axe: here } = globalThis as unknown as { axe: typeof axe };
      const include = [selector, bar].filter(each =>
        document.querySelector(each)
      );
      const { violations: found } = await here.run(
        { include },
        { resultTypes: ['violations'] }
      );
      const panel = document.querySelector(selector) as Element;
      const right = panel.getBoundingClientRect().left + panel.clientWidth;
      return {
        violations: found.flatMap(({ id, nodes }) =>
          nodes.map(node => `${id}: ${node.html}\n${node.failureSummary ?? ''}`)
        ),
        isCut: [...panel.querySelectorAll('*')].some(
          each => each.getBoundingClientRect().right > right + 0.5
        ),
        heights: [
          ...panel.querySelectorAll('.jp-AutoShutdown-instance')
        ].flatMap(box => {
          const apps = [...box.querySelectorAll('.jp-AutoShutdown-app')];
          const cards = apps.length === 1 ? [box] : apps;
          return cards.map(card => card.getBoundingClientRect().height);
        })
      };
    },
    [PANEL, '.jp-AutoShutdown-statusBar'] as const
  );
}

/** Where a line must not end, there is another kind of space. */
function anySpaces({ source }: RegExp): RegExp {
  return new RegExp(source.replace(/ /g, '\\s'));
}

/** The answer is right, large and on top, and the cards' words with it. */
async function answered(state: string, width: number): Promise<void> {
  const said = ANSWERS[state];
  if (said === undefined) {
    return;
  }
  await expect(panel.locator('.jp-AutoShutdown-answer')).toHaveText(
    anySpaces(said.top)
  );
  await expect(page.locator('.jp-AutoShutdown-statusBar').first()).toHaveText(
    anySpaces(said.bar)
  );
  if (said.badges !== undefined) {
    await expect(panel.locator('.jp-AutoShutdown-state')).toHaveText(
      said.badges
    );
  }
  const { first, ends, size, rest } = await panel.evaluate(node => {
    const top = node.getBoundingClientRect().top;
    const large = node.querySelector('.jp-AutoShutdown-large') as Element;
    const money = node.querySelector('.jp-AutoShutdown-money');
    const fontSize = (of: Element): number =>
      parseFloat(getComputedStyle(of).fontSize);
    return {
      first: large.getBoundingClientRect().top - top,
      ends: (money ?? large).getBoundingClientRect().bottom - top,
      size: fontSize(large),
      rest: fontSize(node)
    };
  });
  expect.soft(first, `${state} at ${String(width)} px`).toBeLessThan(70);
  expect.soft(ends, `${state} at ${String(width)} px`).toBeLessThan(160);
  expect.soft(size).toBeGreaterThan(rest * 1.2);
}

/** Assert that nothing is wrong with what is shown. */
async function look(state: string, width: number, name: string): Promise<void> {
  const where = `${state} at ${String(width)} px in ${name}`;
  if (process.env.PICTURES) {
    const file = `${where}.png`.replace(/[ ,]+/g, '-');
    await page.screenshot({ path: test.info().outputPath(file) });
  }
  const { violations, isCut, heights } = await inspect();
  expect.soft(isCut, where).toBe(false);
  expect.soft(violations, where).toEqual([]);
  if (SHORT.includes(state)) {
    expect.soft(Math.max(0, ...heights), where).toBeLessThanOrEqual(130);
  }
}

/** Look at what is shown, in each theme. */
async function lookInAll(state: string, width: number): Promise<void> {
  for (const each of LOOKS.filter(isWorthALook)) {
    await setLook(each);
    await look(state, width, nameOf(each));
  }
  await setLook({ theme: 'JupyterLab Light' });
}

for (const each of LOOKS) {
  const name = nameOf(each);
  test(`every state is accessible in ${name}, and none is cut off`, async () => {
    test.slow();
    test.skip(!isWorthALook(each), 'this JupyterLab has nothing else to show');
    await setLook(each);
    const isFirst = each === LOOKS[0];
    for (const width of isFirst ? WIDTHS : WIDTHS.slice(0, 1)) {
      await setPanelWidth(page, width);
      for (const [state, { status }] of Object.entries(STATES)) {
        await test.step(`${state}, ${String(width)} px`, async () => {
          answers.status = status;
          await show();
          // Words do not depend on colours.
          if (isFirst) {
            await answered(state, width);
          }
          await look(state, width, name);
        });
      }
    }
  });
}

test('a server that has ended, that lacks the extension, and that has not answered yet', async () => {
  const width = WIDTHS[1] ?? 0;
  await setPanelWidth(page, width);
  const going = { state: 'shutting_down' as const, idle_since: null };
  answers.status = fixtures.status({
    host: 'space',
    apps: [{ ...fixtures.spaceApp, ...going, shutdown_at: null }]
  });
  await show();
  answers.status = 502;
  await ask();
  await expect(panel).toContainText('This JupyterLab was shut down at');
  // None was open, so nothing is claimed of documents.
  await expect(panel).not.toContainText(/Documents|\$|Shutting down/);
  await lookInAll('ended', width);

  await reload();
  await expect(panel).toContainText('The server does not answer');
  answers.status = 404;
  await ask();
  await expect(panel).toContainText(SAID[404] ?? '');
  await lookInAll('no extension', width);

  const never = (): undefined => undefined;
  await page.route(API, never);
  await reload();
  await expect(panel).toContainText('Loading…');
  await lookInAll('loading', width);
  await page.unroute(API, never);
  answers.status = fixtures.status();
  await reload();
});

test('what is opened, and what is refused, is accessible in each theme', async () => {
  await page.setViewportSize({ width: 1100, height: 1900 });
  answers.status = fixtures.status({
    apps: [
      {
        ...fixtures.busyApp,
        mark,
        work: [...fixtures.busyApp.work, gpu, secondServer]
      }
    ]
  });
  answers.settings = fixtures.settings({
    max_keep_alive: 7200,
    saved: false,
    notes: ['idle_timeout: 60 is below the least that is allowed.']
  });
  await reload();
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
  const refused = panel.getByRole('alert').filter({ hasText: /./ });
  await expect(refused).toHaveCount(2);
  // What is allowed is said once: by the hint, or else by the error.
  await expect(panel.getByText(/Allowed: 10\smin to 4\sh/)).toHaveCount(1);
  const long = panel.getByLabel('Warning before a shutdown', { exact: true });
  await long.fill('9999999');
  expect(
    await long.evaluate(input => input.scrollWidth - input.clientWidth)
  ).toBeLessThanOrEqual(0);
  for (const width of WIDTHS) {
    await setPanelWidth(page, width);
    await lookInAll('opened', width);
  }
  delete answers.settings;
  await reload();
});

test('the chart is read by pointer and by focus; its last day is what is said of today', async () => {
  const chart = panel.getByRole('slider', { name: 'Cost by day' });
  const said = panel.locator('figcaption');
  await expect(said).toHaveText(/^In use\s*Idle\s*Weekend$/);
  const box = await chart.boundingBox();
  await chart.hover({ position: { x: (box?.width ?? 0) - 2, y: 20 } });
  const today = 'Fri, Sep 18: in use $2.00, idle $1.50';
  await expect(said).toHaveText(today);
  await expect(panel.getByRole('row', { name: /^Today/ })).toHaveText(
    /\$3\.50\s*\$1\.50$/
  );
  await expect(panel.locator('.jp-AutoShutdown-answer')).toContainText(
    '$3.50 today'
  );
  await chart.hover({ position: { x: 2, y: 20 } });
  await expect(said).toContainText('Thu, Aug 20');
  await page.mouse.move(0, 0);
  await expect(said).toHaveText(/^In use/);
  await expect(async () => {
    await chart.focus();
    await expect(said).toHaveText(today, { timeout: 1000 });
  }).toPass();
  await expect(panel.locator('.jp-AutoShutdown-yAxis')).toHaveText('$5$0');
  await expect(panel.locator('.jp-AutoShutdown-weekend')).toHaveCount(8);

  // The benefit first, remarks on request, and no share of so little.
  const costs = panel.getByRole('region', { name: 'Costs' });
  await expect(costs).toHaveText(/^Costs\s*About \$8\.75 saved in 30 days/);
  await expect(costs).not.toContainText(/%|Not included/);
  await panel.getByRole('button', { name: 'About these figures' }).click();
  await expect(costs).toContainText('Not included: 1 h 30 min of instances');
});

test('what happened is told with its day and what it saved', async () => {
  const lines = panel.locator('.jp-AutoShutdown-history li');
  await expect(lines).toHaveText([
    '10:00 AM · datascience-1.0 kept until 11:00 AM',
    'Thu 8:00 PM · pytorch-2-0 shut down after 2 h idle, about $1.47 saved',
    'Tue 12:00 PM · pytorch-2-0 shut down by you'
  ]);
  await panel.getByRole('button', { name: 'Show more' }).click();
  await expect(lines).toHaveCount(4);
});

test("a kernel's name opens its notebook, and the header leads to settings and help", async () => {
  const content = { cells: [], metadata: {}, nbformat: 4, nbformat_minor: 5 };
  const model = { type: 'notebook', format: 'json', content };
  await studio.jupyter('PUT', 'api/contents/train.ipynb', model);
  await declineKernels(page);
  await panel.getByRole('button', { name: 'How it works' }).click();
  const dialog = page.locator('.jp-Dialog');
  await expect(dialog).toContainText('An app whose activity is unknown');
  await dialog.getByRole('button', { name: 'Close' }).click();
  await expect(dialog).toHaveCount(0);
  await panel.getByRole('button', { name: 'Details of' }).click();
  await panel.getByRole('button', { name: 'train.ipynb' }).click();
  await expect(page.locator('.jp-NotebookPanel')).toBeVisible();
  await panel.getByRole('button', { name: 'Display settings' }).click();
  await expect(
    page
      .locator('.jp-PluginList')
      .getByText('SageMaker AutoShutdown', { exact: true })
  ).toBeVisible();
});

test('only what is about to go has a loud button, and what is kept counts down nowhere', async () => {
  const loud = panel.locator('button.jp-AutoShutdown-main');
  const shutDown = panel.locator('button').filter({ hasText: /^Shut down$/ });
  await show();
  await expect(loud).toHaveCount(0);
  answers.status = fixtures.status({ apps: [fixtures.warnedApp] });
  await show();
  await expect(loud).toHaveText(['Keep 1 h']);
  const colour = (node: Element): string =>
    getComputedStyle(node).backgroundColor;
  expect(await shutDown.evaluate(colour)).toBe('rgba(0, 0, 0, 0)');
  answers.status = fixtures.status({ apps: [fixtures.app({ mark })] });
  await show();
  await expect(loud).toHaveText(['Keep 1 h']);
  await expect(panel).toContainText(
    'The fleet\'s rule "nights" shuts this down at 12:05 PM.'
  );
  // As long as the administrator allows: a press adds nothing, and says why.
  answers.settings = fixtures.settings({ max_keep_alive: 4 * 3600 });
  answers.status = fixtures.status({ apps: [fixtures.keptApp] });
  await reload();
  await show();
  const card = panel.locator('.jp-AutoShutdown-app');
  const more = card.getByRole('button', { name: 'another hour' });
  await expect(more).toHaveAttribute('aria-disabled', 'true');
  await expect(more).toHaveAttribute(
    'title',
    /your administrator allows: 4\sh/
  );
  await expect(card).not.toContainText(/left|\d:\d\d:?\d* left|Stops/);
  await expect(panel.getByRole('timer')).toHaveCount(0);
});

test('colours that are forced hide neither icons nor what the chart means', async () => {
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
    const path = test.info().outputPath(`forced-colors-${forcedColors}.png`);
    await panel.screenshot({ path });
  }
});
