/**
 * Whether JupyterLab starts slower with the panel: `jlpm bench`.
 *
 * Pages with and without it are loaded in turns, each by a browser that knows nothing yet, so that
 * whatever else the machine does hits both alike. Without it, the page does not name it: nothing of
 * it is loaded. The time is until the layout is restored; CPU is that of the page's process.
 */

import { expect, test, type Browser } from '@playwright/test';

import { Studio } from '../helpers/studio';

const PAIRS = Number(process.env.PAIRS ?? 15);
const NAME = 'sagemaker-autoshutdown';

interface IStart {
  /** Seconds. */
  wall: number;
  cpu: number;
}

/** CPU seconds of each page's process so far: that of the page before may be about to end. */
async function cpuOf(browser: Browser): Promise<Map<number, number>> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  return new Map(
    processInfo
      .filter(({ type }) => type === 'renderer')
      .map(({ id, cpuTime }) => [id, cpuTime])
  );
}

async function start(
  browser: Browser,
  url: string,
  isWith: boolean
): Promise<IStart> {
  const context = await browser.newContext();
  const page = await context.newPage();
  // Both ways the page goes through here, so that this costs both the same.
  await page.route(/\/lab\?/, async route => {
    const response = await route.fetch();
    const body = (await response.text()).replace(
      /(<script id="jupyter-config-data"[^>]*>)([^<]*)/,
      (_, tag: string, text: string) => {
        const config = JSON.parse(text) as {
          federated_extensions: { name: string }[];
        };
        const all = config.federated_extensions;
        expect(all.map(({ name }) => name)).toContain(NAME);
        config.federated_extensions = all.filter(
          ({ name }) => isWith || name !== NAME
        );
        return tag + JSON.stringify(config);
      }
    );
    await route.fulfill({ response, body });
  });
  await page.addInitScript(() => {
    const here = window as unknown as { restoredAt?: number };
    Object.defineProperty(window, 'jupyterapp', {
      set: (app: { restored: Promise<void> }) =>
        void app.restored.then(() => (here.restoredAt = performance.now()))
    });
  });
  const before = await cpuOf(browser);
  await page.goto(`${url}&reset`, { waitUntil: 'commit' });
  const handle = await page.waitForFunction(
    () => (window as unknown as { restoredAt?: number }).restoredAt,
    undefined,
    { polling: 100 }
  );
  const wall = ((await handle.jsonValue()) ?? 0) / 1000;
  const after = await cpuOf(browser);
  const cpu = [...after].reduce(
    (sum, [id, time]) => sum + time - (before.get(id) ?? 0),
    0
  );
  const isThere = await page.evaluate(
    name => name in ((window as { _JUPYTERLAB?: object })._JUPYTERLAB ?? {}),
    NAME
  );
  expect(isThere).toBe(isWith);
  await context.close();
  return { wall, cpu };
}

function median(values: number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2
    ? (sorted[middle] ?? NaN)
    : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}

/** Where the median lies with a chance of 95 %: by the signs alone, whatever the distribution. */
function interval(values: number[]): [number, number] {
  const sorted = [...values].sort((one, other) => one - other);
  const count = sorted.length;
  let chance = 0;
  let ways = 1;
  let outside = -1;
  while (outside < count) {
    chance += ways / 2 ** count;
    if (chance > 0.025) {
      break;
    }
    outside += 1;
    ways = (ways * (count - outside)) / (outside + 1);
  }
  const least = Math.max(outside, 0);
  return [sorted[least] ?? NaN, sorted[count - 1 - least] ?? NaN];
}

function seconds(value: number): string {
  return `${value.toFixed(2)} s`.padStart(9);
}

test('start', async ({ browser }) => {
  test.setTimeout(0);
  const studio = await Studio.start({
    apps: ['datascience-1.0,ml.t3.medium'],
    serverArguments: ['--LabApp.expose_app_in_browser=True']
  });
  const found: Record<'without' | 'with', IStart[]> = { without: [], with: [] };
  try {
    // The first fills the server's own caches.
    await start(browser, studio.labUrl, true);
    for (let pair = 0; pair < PAIRS; pair += 1) {
      const both = [false, true];
      for (const isWith of pair % 2 ? both.reverse() : both) {
        found[isWith ? 'with' : 'without'].push(
          await start(browser, studio.labUrl, isWith)
        );
      }
    }
  } finally {
    await studio.stop();
  }
  const title = `Start of JupyterLab in Chromium, medians of ${String(PAIRS)} in turns`;
  const lines = [
    '',
    title,
    '='.repeat(title.length),
    '',
    `            without     with  difference (95 % of the paired differences' median)`
  ];
  for (const what of ['wall', 'cpu'] as const) {
    const without = found.without.map(each => each[what]);
    const differences = found.with.map(
      (each, pair) => each[what] - (without[pair] ?? NaN)
    );
    const [low, high] = interval(differences);
    lines.push(
      `${what.padEnd(8)} ${seconds(median(without))}${seconds(
        median(found.with.map(each => each[what]))
      )}${seconds(median(differences))} (${seconds(low).trim()} to ${seconds(high).trim()})`
    );
  }
  lines.push('', 'Aim: no measurable difference.', '');
  console.log(lines.join('\n'));
});
