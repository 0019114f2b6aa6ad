import { Signal } from '@lumino/signaling';

import { RequestError } from './client';
import { Ticker } from './clock';
import { AutoShutdownModel, EVENT_SCHEMA, type IEmission } from './model';
import { FakeClient } from './testing/fakes';
import * as fixtures from './testing/fixtures';

const { at, status } = fixtures;

let client: FakeClient;
let events: Signal<object, IEmission>;
let ticker: Ticker;
let model: AutoShutdownModel;

function setHidden(hidden: boolean): void {
  const visibilityState = hidden ? 'hidden' : 'visible';
  for (const [name, value] of Object.entries({ hidden, visibilityState })) {
    Object.defineProperty(document, name, { configurable: true, value });
  }
  document.dispatchEvent(new Event('visibilitychange'));
}

/** Let time pass, and let pending promises settle. */
async function pass(seconds: number): Promise<void> {
  await jest.advanceTimersByTimeAsync(seconds * 1000);
}

async function start(options: { events?: boolean } = {}): Promise<void> {
  model = new AutoShutdownModel({
    client,
    ticker,
    events: options.events ? events : undefined
  });
  model.start();
  await pass(0.1);
}

function emit(kind: string): void {
  events.emit({ schema_id: `${EVENT_SCHEMA}v1`, kind });
}

beforeEach(() => {
  jest.useFakeTimers({ now: Date.parse(fixtures.NOW) });
  client = new FakeClient();
  client.answers.status = status({ next_check_at: null });
  events = new Signal({});
  ticker = new Ticker();
  setHidden(false);
});

afterEach(() => {
  model.dispose();
  jest.useRealTimers();
});

test('nothing is asked before the start, so that JupyterLab is not held up', async () => {
  model = new AutoShutdownModel({ client, ticker });
  await pass(600);
  expect(client.asked).toEqual([]);
  expect(model.connection).toBe('connecting');
});

test('without events the server is asked after each of its own checks', async () => {
  client.answers.status = status({ next_check_at: at(40) });
  await start();
  expect(client.count('status')).toBe(1);
  await pass(39);
  expect(client.count('status')).toBe(1);
  await pass(3);
  expect(client.count('status')).toBe(2);
});

test('however fast the server checks, it is asked every 5 s at most', async () => {
  client.answers.status = status({ next_check_at: at(0.2) });
  await start();
  await pass(60);
  expect(client.count('status')).toBeLessThanOrEqual(13);
});

test('nothing is asked while the page is hidden, and at once when it is seen again', async () => {
  await start();
  setHidden(true);
  await pass(3600);
  expect(client.count('status')).toBe(1);
  setHidden(false);
  await pass(0.1);
  expect(client.count('status')).toBe(2);
});

test('an event is followed at once, and makes asking rarer', async () => {
  await start({ events: true });
  emit('warning');
  await pass(0.1);
  expect(client.count('status')).toBe(2);
  const before = client.count('status');
  await pass(50);
  expect(client.count('status')).toBe(before);
});

test('a hidden page asks for nothing, whatever it is told, but that it was closed; then for all of it', async () => {
  await start({ events: true });
  await model.loadSettings();
  const watching = model.watchDetails();
  await pass(1);
  setHidden(true);
  const asked = client.asked.length;
  for (const kind of ['warning', 'settings', 'status', 'shutdown']) {
    emit(kind);
    await pass(100);
  }
  window.dispatchEvent(new Event('online'));
  await pass(100);
  expect(client.asked.slice(asked)).toEqual([]);
  window.dispatchEvent(new Event('pagehide'));
  expect(client.asked.slice(asked)).toEqual([['pageClosed']]);
  setHidden(false);
  await pass(1);
  const later = client.asked.slice(asked + 1).map(([what]) => what);
  expect(later).toEqual(
    expect.arrayContaining(['status', 'settings', 'history'])
  );
  watching.dispose();
});

test('a hidden page that has something to save follows an event', async () => {
  await start({ events: true });
  model.askWhileHidden(() => true);
  setHidden(true);
  emit('warning');
  await pass(0.1);
  expect(client.count('status')).toBe(2);
});

test('events of others are none of ours', async () => {
  await start({ events: true });
  events.emit({ schema_id: 'https://events.jupyter.org/other', kind: 'x' });
  await pass(0.1);
  expect(client.count('status')).toBe(1);
});

test('without events, what happened is asked for again once an app has gone', async () => {
  await start();
  const watching = model.watchDetails();
  await pass(1);
  const before = client.count('history');
  await model.refresh();
  await pass(1);
  expect(client.count('history')).toBe(before);
  client.answers.status = status({ apps: [] });
  await model.refresh();
  await pass(1);
  expect(client.count('history')).toBe(before + 1);
  watching.dispose();
});

test('a change without an event ends the trust in events', async () => {
  await start({ events: true });
  emit('status');
  await pass(0.1);
  client.answers.status = status({ apps: [], next_check_at: null });
  await pass(301);
  const before = client.count('status');
  await pass(125);
  expect(client.count('status')).toBeGreaterThanOrEqual(before + 2);
});

test('an answer from before an event does not hide what the event told of', async () => {
  await start({ events: true });
  let answer: (value: ReturnType<typeof status>) => void = () => undefined;
  client.answers.status = new Promise(resolve => (answer = resolve));
  const first = model.refresh();
  await pass(0);
  emit('gone');
  client.answers.status = status({ apps: [] });
  answer(status());
  await first;
  await pass(0.1);
  expect(client.count('status')).toBe(3);
  expect(model.status?.apps).toEqual([]);
});

test('a lost connection keeps the last picture, is said, and is forgotten when it is back', async () => {
  await start();
  const told: string[] = [];
  model.stateChanged.connect(() => told.push(model.connection));
  client.answers.status = new RequestError(0, 'Failed to fetch');
  await model.refresh();
  expect(model.connection).toBe('lost');
  expect(model.connectionError).toBe('Failed to fetch');
  expect(model.status?.apps).toHaveLength(1);

  client.answers.status = status();
  await pass(180);
  expect(model.connection).toBe('connected');
  expect(model.connectionError).toBe('');
  expect(told).toContain('lost');
});

test('a server that is down is asked less and less, but never given up', async () => {
  await start();
  client.answers.status = new RequestError(503, 'down');
  await pass(3600);
  const asked = client.count('status');
  expect(asked).toBeGreaterThan(10);
  expect(asked).toBeLessThan(80);
});

test.each([
  [401, 'forbidden'],
  [403, 'forbidden'],
  [404, 'missing'],
  [500, 'lost'],
  [0, 'lost']
])('an answer of %i is told as %s', async (code, connection) => {
  client.answers.status = new RequestError(code, 'no');
  await start();
  expect(model.connection).toBe(connection);
});

test('a sleeping laptop asks as soon as it wakes', async () => {
  await start();
  const listening = ticker.subscribe(() => undefined);
  const before = client.count('status');
  jest.setSystemTime(Date.now() + 3_600_000);
  await pass(1.1);
  expect(client.count('status')).toBeGreaterThan(before);
  listening.dispose();
});

test("countdowns go by the server's clock, however wrong this machine's is", async () => {
  jest.setSystemTime(Date.parse(fixtures.NOW) - 7_200_000);
  await start();
  await pass(10);
  const seconds = (model.now() - Date.parse(fixtures.NOW)) / 1000;
  expect(seconds).toBeGreaterThan(9);
  expect(seconds).toBeLessThan(11);
});

test('limits and costs are asked for only while somebody looks', async () => {
  await start();
  await pass(600);
  expect(client.count('costs') + client.count('settings')).toBe(0);
  const watching = model.watchDetails();
  await pass(0.1);
  expect(model.costs).not.toBeNull();
  expect(model.settings).not.toBeNull();
  watching.dispose();
  const before = client.count('costs');
  await pass(3600);
  expect(client.count('costs')).toBe(before);
});

test('costs are asked for from the first of 30 days, seldom', async () => {
  await start();
  model.watchDetails();
  await pass(290);
  const asked = client.asked.filter(([name]) => name === 'costs');
  expect(asked).toEqual([['costs', new Date('2026-08-20T00:00:00Z')]]);
});

test('limits that another tab has changed are shown', async () => {
  await start({ events: true });
  model.watchDetails();
  await pass(0.1);
  client.answers.settings = fixtures.settings({ max_keep_alive: 1 });
  emit('settings');
  await pass(0.1);
  expect(model.settings?.max_keep_alive).toBe(1);
});

test('what an action answers is shown at once, and the rest is asked for', async () => {
  await start();
  client.answers.status = new Promise(() => undefined);
  await model.keepAlive(fixtures.keptApp.app_name, { seconds: 3600 });
  expect(model.status?.apps[0]?.state).toBe('kept');
  expect(client.count('status')).toBe(2);
});

test('an action that is refused changes nothing and says so', async () => {
  await start();
  client.answers.app = new RequestError(409, 'It is being shut down already.');
  await expect(model.shutDown('x')).rejects.toThrow('being shut down already');
  expect(model.status?.apps[0]?.state).toBe('idle');
});

test('a server that is ending with its app is watched closely', async () => {
  client.answers.status = status({
    host: 'space',
    apps: [{ ...fixtures.spaceApp, state: 'shutting_down' }]
  });
  await start({ events: true });
  client.answers.status = new RequestError(0, 'Failed to fetch');
  await pass(6);
  expect(model.connection).toBe('lost');
});

test('after the end nothing is asked', async () => {
  await start({ events: true });
  model.dispose();
  emit('warning');
  await pass(600);
  expect(client.count('status')).toBe(1);
});

test('an event that was lost with its connection is made up for within a minute', async () => {
  await start({ events: true });
  emit('status');
  await pass(0.1);
  const before = client.count('status');
  await pass(65);
  expect(client.count('status')).toBeGreaterThan(before);
});

test('what a server that was restarted sees first is not waited for a minute', async () => {
  await start({ events: true });
  emit('status');
  await pass(0.1);
  client.answers.status = status({ checked_at: null, apps: [] });
  await model.refresh();
  client.answers.status = status();
  await pass(6);
  expect(model.status?.apps).not.toEqual([]);
});

test('a server with nothing to look at is asked no more often for it', async () => {
  client.answers.status = status({
    host: 'none',
    checked_at: null,
    next_check_at: null,
    apps: []
  });
  await start();
  const before = client.count('status');
  await pass(55);
  expect(client.count('status')).toBe(before);
});

describe('a request that fails between two polls', () => {
  test('is made up for within seconds, not when the next poll was due', async () => {
    await start({ events: true });
    emit('status');
    await pass(0.1);
    client.answers.status = new RequestError(0, 'Failed to fetch');
    emit('status');
    await pass(0.1);
    expect(model.connection).toBe('lost');
    client.answers.status = status({ next_check_at: null });
    await pass(6);
    expect(model.connection).toBe('connected');
  });

  test('puts the next poll off no further, however often somebody asks', async () => {
    await start();
    client.answers.status = new RequestError(0, 'Failed to fetch');
    for (let second = 0; second < 10; second += 1) {
      await model.refresh();
      await pass(1);
    }
    client.answers.status = status({ next_check_at: null });
    await pass(20);
    expect(model.connection).toBe('connected');
  });

  test('is not made up for more and more often', async () => {
    await start({ events: true });
    client.answers.status = new RequestError(503, 'down');
    await model.refresh();
    const gaps: number[] = [];
    let last = client.count('status');
    let since = 0;
    for (let second = 0; second < 600; second += 1) {
      await pass(1);
      since += 1;
      if (client.count('status') > last) {
        gaps.push(since);
        last = client.count('status');
        since = 0;
      }
    }
    expect(gaps.slice(0, 5)).toEqual([5, 10, 20, 40, 80]);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(120);
  });
});

test("a proxy's 404 while the server restarts is no extension that is missing", async () => {
  await start();
  client.answers.status = new RequestError(404, '404 Not Found');
  await model.refresh();
  expect(model.connection).toBe('lost');
  expect(model.status).not.toBeNull();
});

test('limits that were changed while nobody looked are shown to who looks again', async () => {
  await start();
  model.watchDetails().dispose();
  await pass(0.1);
  client.answers.settings = fixtures.settings({ max_keep_alive: 1 });
  model.watchDetails();
  await pass(0.1);
  expect(model.settings?.max_keep_alive).toBe(1);
});

describe('limits that are asked for and changed at once', () => {
  const before = fixtures.settings({ max_keep_alive: 1 });
  const after = fixtures.settings({ max_keep_alive: 2 });

  test('an answer from before a change does not undo it on the screen', async () => {
    await start({ events: true });
    model.watchDetails();
    await pass(0.1);
    const old = deferred(before);
    client.answers.settings = old.promise;
    emit('settings');
    await pass(0.1);
    client.answers.settings = after;
    await model.changeSettings({ idle_timeout: 600 });
    expect(model.settings).toEqual(after);
    old.resolve();
    await pass(0.1);
    expect(model.settings).toEqual(after);
  });

  test('what is asked while a change is under way waits for it', async () => {
    await start();
    const changed = deferred(after);
    client.answers.settings = changed.promise;
    const changing = model.changeSettings({ idle_timeout: 600 });
    client.answers.settings = before;
    model.watchDetails();
    await pass(0.1);
    expect(client.count('settings')).toBe(0);
    changed.resolve();
    client.answers.settings = after;
    await changing;
    await pass(0.1);
    expect(client.count('settings')).toBe(1);
    expect(model.settings).toEqual(after);
  });

  test('a change that is refused keeps nothing from being asked', async () => {
    await start();
    client.answers.settings = new RequestError(400, 'no');
    await expect(model.changeSettings({ idle_timeout: 1 })).rejects.toThrow();
    client.answers.settings = after;
    model.watchDetails();
    await pass(0.1);
    expect(model.settings).toEqual(after);
  });
});

/** An answer that comes on command. */
function deferred<T>(value: T): { promise: Promise<T>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<T>(done => (resolve = () => done(value)));
  return { promise, resolve };
}

test('a check that is asked for shows what it saw, as soon as it is there', async () => {
  client.answers.status = status({ next_check_at: null, checked_at: at(-20) });
  await start();
  const before = client.count('status');
  void model.check();
  await pass(1.5);
  expect(client.count('check')).toBe(1);
  client.answers.status = status({ next_check_at: null, checked_at: at(2) });
  await pass(1);
  expect(model.status?.checked_at).toBe(at(2));
  await pass(5);
  expect(client.count('status')).toBe(before + 2);
});

test('who asks for a check while one is under way gets another, and two of them the same', async () => {
  client.answers.status = status({ next_check_at: null, checked_at: at(-20) });
  await start();
  void model.check();
  void model.check();
  void model.check();
  await pass(0.5);
  expect(client.count('check')).toBe(1);
  client.answers.status = status({ next_check_at: null, checked_at: at(2) });
  await pass(3);
  expect(client.count('check')).toBe(2);
  await pass(10);
  expect(client.count('check')).toBe(2);
});

test('what happened is asked for while somebody looks, and again when something does', async () => {
  await start({ events: true });
  emit('shutdown');
  await pass(1);
  expect(client.count('history')).toBe(0);
  const watching = model.watchDetails();
  await pass(1);
  expect(client.count('history')).toBe(1);
  emit('shutdown');
  await pass(1);
  expect(client.count('history')).toBe(2);
  expect(model.history).toEqual(fixtures.history().events);
  watching.dispose();
});

test('a space that ended is told as that, until a server answers again', async () => {
  const going = { ...fixtures.goingApp, idle_since: at(-7200), since: at(0) };
  client.answers.status = status({ host: 'space', apps: [going] });
  await start();
  expect(model.ended).toBeNull();
  client.answers.status = new RequestError(0, 'Failed to fetch');
  await pass(10);
  expect(model.ended?.idleSeconds).toBe(7200);
  client.answers.status = status({ host: 'space' });
  await pass(300);
  expect(model.ended).toBeNull();
});

test('a lost connection is no end', async () => {
  client.answers.status = status({ host: 'space' });
  await start();
  client.answers.status = new RequestError(0, 'Failed to fetch');
  await pass(300);
  expect(model.connection).toBe('lost');
  expect(model.ended).toBeNull();
});
