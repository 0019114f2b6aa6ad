import { existsSync } from 'node:fs';

import { defineConfig } from '@playwright/test';

/** A Chromium of the system: Playwright's own can't be downloaded everywhere. */
const chromium = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome'
].find(path => path !== undefined && path !== '' && existsSync(path));

export default defineConfig({
  testDir: 'tests',
  // Each test file has a local Studio of its own; they share a small machine.
  workers: 1,
  fullyParallel: false,
  forbidOnly: Boolean(process.env.CI),
  // A browser, a server and kernels may have to share two cores.
  timeout: 600_000,
  // Without events the panel asks once a minute, so a minute would be too short for what it shows.
  expect: { timeout: 150_000 },
  reporter: [['list']],
  use: {
    browserName: 'chromium',
    locale: 'en-US',
    timezoneId: 'UTC',
    viewport: { width: 1280, height: 1300 },
    // A click on what never comes says so, instead of the whole test's time going by.
    actionTimeout: 150_000,
    video: 'off',
    trace: 'off',
    screenshot: 'only-on-failure',
    launchOptions: {
      ...(chromium !== undefined && { executablePath: chromium }),
      args: [
        '--no-sandbox',
        // A page of Studio's, for what depends on its address.
        '--host-resolver-rules=MAP *.sagemaker.aws 127.0.0.1'
      ]
    }
  }
});
