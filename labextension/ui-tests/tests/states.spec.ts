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
  setTheme,
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
  'off SageMaker': { status: fixtures.nowhere },
  'no extension on the server': { status: 404 }
};

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
    await expect(panel).toContainText('has no SageMaker AutoShutdown');
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

for (const theme of THEMES) {
  test(`every state is accessible in ${theme}`, async ({ page }, info) => {
    await page.setViewportSize({ width: 1100, height: 1500 });
    const answers: IAnswers = { status: fixtures.status() };
    await answerWith(page, answers);
    await openLab(page, studio.labUrl);
    await openPanel(page);
    if (!(await setTheme(page, theme))) {
      // It came with JupyterLab 4.2.
      expect(theme).toBe('JupyterLab Dark High Contrast');
      return;
    }
    await page.getByText('Limits', { exact: true }).click();
    for (const [name, state] of Object.entries(STATES)) {
      await test.step(name, async () => {
        answers.status = state.status;
        await show(page, state);
        const file = `${name} ${theme}.png`.replace(/[ ,]+/g, '-');
        await page.screenshot({ path: info.outputPath(file) });
        expect.soft(await violations(page)).toEqual([]);
      });
    }
  });
}
