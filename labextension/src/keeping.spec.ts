import { keptAfterPress } from './keeping';
import type { App } from './openapi';
import * as fixtures from './testing/fixtures';

const NOW = Date.parse(fixtures.NOW);
const HOUR = 3600;

/** In how many seconds an app is shut down after one press. */
function press(app: App, longest: number | null = 24 * HOUR): number | null {
  const until = keptAfterPress(app, NOW, longest);
  return until === null ? null : (until - NOW) / 1000;
}

test('what is busy is kept for an hour from now', () => {
  expect(press(fixtures.busyApp)).toBe(HOUR);
});

test('a press always has an effect, however late the deadline is', () => {
  expect(press(fixtures.app())).toBe(2 * HOUR);
  expect(press(fixtures.warnedApp)).toBe(HOUR + 272);
});

test('a press adds to what is kept, and never shortens it', () => {
  expect(press(fixtures.keptApp)).toBe(5 * HOUR);
  expect(press(fixtures.keptApp, 4.5 * HOUR)).toBe(4.5 * HOUR);
});

test('at the most that is allowed there is nothing to press', () => {
  expect(press(fixtures.keptApp, 4 * HOUR)).toBeNull();
  expect(press(fixtures.keptApp, 4 * HOUR + 30)).toBeNull();
});

test('a deadline that has passed adds from now', () => {
  const late = fixtures.app({ shutdown_at: fixtures.at(-HOUR) });
  expect(press(late)).toBe(HOUR);
});
