/**
 * The Jupyter server ends and comes back while the panel is open.
 */

import { expect, test } from '@playwright/test';

import { change, onlyApp } from '../helpers/api';
import { openLab, openPanel, secondsLeft } from '../helpers/lab';
import { Studio } from '../helpers/studio';

test('the panel recovers by itself from a restart of the server, with the right countdown', async ({
  page
}) => {
  const studio = await Studio.start({
    apps: ['datascience-1.0,ml.t3.medium'],
    traits: { active_time: 1, poll_interval: 2 }
  });
  try {
    await openLab(page, studio.labUrl);
    const panel = await openPanel(page);
    await change(studio, { idle_timeout: 500, warning_time: 10 });
    const timer = panel.getByRole('timer');
    await expect(timer).toHaveText(/^Shuts down in [78]:\d\d$/);

    await studio.killServer();
    // The panel would notice within a minute.
    await page.evaluate(() => window.dispatchEvent(new Event('online')));
    await expect(panel).toContainText('The server does not answer');
    // The last status is still shown, and counts down.
    await expect(panel).toContainText('Last update:');
    const before = await timer.textContent();
    await expect(timer).not.toHaveText(before ?? '');

    await studio.startServer();
    // It asks again after as long as the server was away: on a busy machine that is long.
    await expect(panel).not.toContainText('The server does not answer', {
      timeout: 240_000
    });
    // The new server knows no app before its first check.
    await expect(panel).toContainText('datascience-1.0');
    const { shutdown_at, idle_timeout } = await onlyApp(studio);
    expect(idle_timeout).toBe(500);
    // A busy page counts late, and then right again.
    await expect
      .poll(async () => {
        const left = (Date.parse(shutdown_at ?? '') - Date.now()) / 1000;
        return Math.abs((await secondsLeft(timer)) - left);
      })
      .toBeLessThan(3);
  } finally {
    await page.close();
    await studio.stop();
  }
});
