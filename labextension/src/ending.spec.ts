import { endFrom, hasEnded, studioUrl } from './ending';
import type { Status } from './openapi';
import * as fixtures from './testing/fixtures';

const { at, spaceApp } = fixtures;
const space = (changes: Partial<Status> = {}): Status =>
  fixtures.status({ host: 'space', apps: [spaceApp], ...changes });
const going = {
  ...fixtures.goingApp,
  app_type: 'JupyterLab',
  reason: 'idle_timeout',
  idle_since: at(-7200),
  since: at(0)
} as const;
const after = (seconds: number): number => Date.parse(at(seconds));

test('a server that goes silent while it is shut down has ended, for the reason that it gave', () => {
  const shown = space({ apps: [going] });
  const end = endFrom(shown, null);
  expect(hasEnded(end, shown, after(1))).toBe(true);
  expect(end).toEqual({
    at: after(0),
    reason: 'idle_timeout',
    idleSeconds: 7200
  });
  // SageMaker's own status no longer has an idle time.
  const deleting = space({ apps: [{ ...going, idle_since: null }] });
  expect(endFrom(deleting, end)).toBe(end);
});

test('one that is silent from shortly before its deadline on has met it', () => {
  const shown = space({ now: at(200) });
  const end = endFrom(shown, null);
  expect(hasEnded(end, shown, after(271))).toBe(false);
  expect(hasEnded(end, shown, after(273))).toBe(true);
});

test('a laptop that was offline for an hour knows of no end', () => {
  const shown = space({
    apps: [{ ...spaceApp, shutdown_at: at(1800) }]
  });
  expect(hasEnded(endFrom(shown, null), shown, after(3600))).toBe(false);
});

test.each<[string, Status]>([
  ['Classic, whose server outlives its apps', { ...space(), host: 'classic' }],
  ['dry run', space({ dry_run: true })],
  ['a busy space', space({ apps: [fixtures.busyApp] })]
])('no end comes of %s', (_, shown) => {
  expect(endFrom(shown, null)).toBeNull();
});

test('a shutdown that the user asked for claims no idle time', () => {
  const shown = space({ apps: [{ ...going, reason: 'user_request' }] });
  expect(endFrom(shown, null)?.idleSeconds).toBeNull();
});

test.each([
  [
    'abc123.studio.us-east-2.sagemaker.aws',
    'https://studio-d-xxxxxxxxxxxx.studio.us-east-2.sagemaker.aws/jupyterlab'
  ],
  ['localhost', null],
  ['abc.studio.us-east-2.sagemaker.aws.evil.example', null]
])('from the page %s Studio is at %s', (hostname, url) => {
  expect(studioUrl(space(), { hostname })).toBe(url);
});
