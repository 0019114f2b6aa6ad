/**
 * Answers instead of the server's, to show states that take hours or luck to occur.
 */

import type { Page } from '@playwright/test';

import type { Costs, History, Settings, Status } from '../../src/openapi';
import * as fixtures from '../../src/testing/fixtures';

export interface IAnswers {
  status: Status | number;
  settings?: Settings;
  costs?: Costs;
  history?: History;
}

/** Answer the panel's requests by `answers`, whose members may be replaced at any time. */
export async function answerWith(page: Page, answers: IAnswers): Promise<void> {
  await page.route('**/sagemaker-autoshutdown/api/**', async route => {
    const path = new URL(route.request().url()).pathname;
    if (typeof answers.status === 'number') {
      const json = { message: 'It does not work.', reason: null };
      await route.fulfill({ status: answers.status, json });
    } else if (path.endsWith('/settings')) {
      await route.fulfill({ json: answers.settings ?? fixtures.settings() });
    } else if (path.endsWith('/costs')) {
      await route.fulfill({ json: answers.costs ?? fixtures.costs() });
    } else if (path.endsWith('/history')) {
      await route.fulfill({ json: answers.history ?? fixtures.history() });
    } else if (path.endsWith('/check')) {
      await route.fulfill({ status: 202, json: { check_in_seconds: 0 } });
    } else {
      await route.fulfill({ json: answers.status });
    }
  });
}
