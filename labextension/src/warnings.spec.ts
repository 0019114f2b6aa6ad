import { nullTranslator } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';

import { Ticker } from './clock';
import type { App } from './openapi';
import { OnceOverTabs } from './once';
import {
  FakeDisplay,
  FakeLocks,
  FakeModel,
  FakeStorage
} from './testing/fakes';
import * as fixtures from './testing/fixtures';
import { Warnings } from './warnings';

const { app, at, status, warnedApp, spaceApp } = fixtures;

let model: FakeModel;
let display: FakeDisplay;
let open: Set<string>;
const notifications = {
  notify: jest.fn<string, [string, string, unknown]>(),
  update: jest.fn(),
  dismiss: jest.fn()
};
const keepRunning = jest.fn();
const shutDown = jest.fn();

let locks: FakeLocks;
let tab: OnceOverTabs.IOptions;

interface IShownAction {
  label: string;
  callback: (event: Event) => void;
}

const watching: IDisposable[] = [];

function warn(changes: Partial<Warnings.IOptions> = {}): Warnings {
  const warnings = new Warnings({
    model,
    display,
    ticker: new Ticker(),
    trans: nullTranslator.load(''),
    notifications: notifications,
    isOpen: id => open.has(id),
    saver: null,
    once: new OnceOverTabs(tab),
    keepRunning,
    shutDown,
    ...changes
  });
  watching.push(warnings.watch());
  return warnings;
}

/** The actions of the last notification. */
function actions(): IShownAction[] {
  const [, , options] = notifications.notify.mock.lastCall ?? [];
  return (options as { actions: IShownAction[] }).actions;
}

/** Answers come one after another. */
async function settle(): Promise<void> {
  await jest.advanceTimersByTimeAsync(0);
}

function setHidden(hidden: boolean): void {
  Object.defineProperty(document, 'hidden', {
    configurable: true,
    value: hidden
  });
  document.dispatchEvent(new Event('visibilitychange'));
}

/** A tab of the same browser. */
function newTab(): OnceOverTabs.IOptions {
  return { tab: new FakeStorage(), browser: window.localStorage, locks };
}

beforeEach(() => {
  jest.useFakeTimers();
  jest.clearAllMocks();
  window.localStorage.clear();
  locks = new FakeLocks();
  tab = newTab();
  open = new Set();
  let count = 0;
  notifications.notify.mockImplementation(() => {
    const id = `n${(count += 1)}`;
    open.add(id);
    return id;
  });
  model = new FakeModel();
  display = new FakeDisplay();
});

afterEach(() => {
  watching.forEach(each => each.dispose());
  jest.useRealTimers();
});

test('an app that will be shut down soon is warned of, in words', async () => {
  model.show(status({ apps: [app(), warnedApp] }));
  warn();
  await settle();
  expect(notifications.notify).toHaveBeenCalledTimes(1);
  const [message, type] = notifications.notify.mock.lastCall ?? [];
  expect(type).toBe('warning');
  expect(message).toMatch(
    /^pytorch-2.0.0-gpu-py310 will be shut down at 12:04 PM\.$/
  );
  expect(message?.length).toBeLessThan(140);
});

test('its buttons are for that app', async () => {
  model.show(status({ apps: [warnedApp] }));
  warn();
  await settle();
  expect(actions().map(({ label }) => label)).toEqual([
    'Keep 1 h',
    'Shut down'
  ]);
  actions().forEach(({ callback }) => callback(new Event('click')));
  expect(keepRunning).toHaveBeenCalledWith(warnedApp.app_name);
  expect(shutDown).toHaveBeenCalledWith(warnedApp.app_name);
});

test('"Keep 1 h" is not offered where the administrator allows no keep-alive', async () => {
  model.settings = fixtures.settings({ max_keep_alive: 0 });
  model.show(status({ apps: [warnedApp] }));
  warn();
  await settle();
  expect(actions().map(({ label }) => label)).toEqual(['Shut down']);
});

test('the warning stays while the question is asked, so that who says no has it still', async () => {
  model.show(status({ apps: [warnedApp] }));
  warn();
  await settle();
  for (const { callback } of actions()) {
    const event = new Event('click', { cancelable: true });
    callback(event);
    expect(event.defaultPrevented).toBe(true);
  }
});

test('a toast that is not there yet is brought up to date once it is', async () => {
  model.show(status({ apps: [warnedApp] }));
  const warnings = warn();
  await settle();
  open.clear();
  model.seconds = 300;
  warnings.update();
  expect(notifications.update).not.toHaveBeenCalled();
  open.add('n1');
  warnings.update();
  expect(notifications.update).toHaveBeenCalledTimes(1);
});

test('it does not talk without end: it names the time, and changes once that is there', async () => {
  model.show(status({ apps: [warnedApp] }));
  const warnings = warn();
  await settle();
  for (model.seconds = 0; model.seconds < 280; model.seconds += 1) {
    warnings.update();
  }
  const said = notifications.update.mock.calls.map(
    ([{ message }]: [{ message: string }]) => message
  );
  expect(said).toEqual(['pytorch-2.0.0-gpu-py310 is about to be shut down.']);
});

test('it comes once for a deadline, whatever is looked at again', async () => {
  model.show(status({ apps: [warnedApp] }));
  warn();
  await settle();
  model.show(status({ apps: [{ ...warnedApp }] }));
  display.changed.emit();
  expect(notifications.notify).toHaveBeenCalledTimes(1);
});

test('a toast that the user closed is not brought back by the countdown', async () => {
  model.show(status({ apps: [warnedApp] }));
  const warnings = warn();
  await settle();
  open.clear();
  model.seconds = 200;
  warnings.update();
  expect(notifications.update).not.toHaveBeenCalled();
});

test('a reload of the page does not bring it back', async () => {
  model.show(status({ apps: [warnedApp] }));
  warn();
  await settle();
  locks.closeHolder();
  warn();
  await settle();
  expect(notifications.notify).toHaveBeenCalledTimes(1);
});

test('a new deadline is a new warning', async () => {
  model.show(status({ apps: [warnedApp] }));
  warn();
  await settle();
  model.show(status({ apps: [app({ ...warnedApp, state: 'busy' })] }));
  expect(notifications.dismiss).toHaveBeenCalledWith('n1');
  model.show(status({ apps: [{ ...warnedApp, shutdown_at: at(900) }] }));
  await settle();
  expect(notifications.notify).toHaveBeenCalledTimes(2);
});

const over: [string, Partial<App>][] = [
  ['activity resumes', { state: 'busy', shutdown_at: null }],
  ['it is kept alive', { state: 'kept' }],
  ['it is being shut down', { state: 'shutting_down' }],
  ['it could not be shut down', { state: 'failed' }]
];
test.each(over)('it goes away when %s', async (_, changes) => {
  model.show(status({ apps: [warnedApp] }));
  warn();
  await settle();
  model.show(status({ apps: [{ ...warnedApp, ...changes }] }));
  expect(notifications.dismiss).toHaveBeenCalledWith('n1');
});

test('it goes away with the setting, and when the app is gone', async () => {
  model.show(status({ apps: [warnedApp] }));
  warn();
  await settle();
  display.notifications = false;
  display.changed.emit();
  expect(notifications.dismiss).toHaveBeenCalledWith('n1');
});

test.each([
  ['dry run', status({ dry_run: true, apps: [warnedApp] })],
  [
    'a shutdown that the user asked for',
    status({ apps: [{ ...warnedApp, reason: 'user_request' }] })
  ],
  ['an idle app', status({ apps: [app()] })],
  ['no status at all', null]
])('there is none for %s', async (_, shown) => {
  model.show(shown);
  warn();
  await settle();
  expect(notifications.notify).not.toHaveBeenCalled();
});

test('in a space it says that documents are saved', async () => {
  model.show(status({ host: 'space', apps: [spaceApp] }));
  const saver = {
    isNeeded: true,
    hasSaved: false,
    unsaved: () => [],
    saveAll: () => Promise.resolve([])
  };
  warn({ saver });
  await settle();
  const [message] = notifications.notify.mock.lastCall ?? [];
  expect(message).toContain('Unsaved documents are saved first.');
  expect(message?.length).toBeLessThan(140);
});

test('a broken memory of what was shown is no reason not to warn', async () => {
  const { tab: own, browser } = tab;
  own.setItem('sagemaker-autoshutdown:warned', '{broken');
  browser.setItem('sagemaker-autoshutdown:warned', '{"no": "list"}');
  model.show(status({ apps: [warnedApp] }));
  warn();
  await settle();
  expect(notifications.notify).toHaveBeenCalledTimes(1);
});

describe('over the tabs of a browser', () => {
  beforeEach(() => model.show(status({ apps: [warnedApp] })));

  test('two tabs do not warn twice', async () => {
    warn();
    warn({ once: new OnceOverTabs(newTab()) });
    await settle();
    expect(notifications.notify).toHaveBeenCalledTimes(1);
    await jest.advanceTimersByTimeAsync(10_000);
    expect(notifications.notify).toHaveBeenCalledTimes(1);
  });

  test('nor does one that is opened later', async () => {
    warn();
    await jest.advanceTimersByTimeAsync(6000);
    warn({ once: new OnceOverTabs(newTab()) });
    await settle();
    expect(notifications.notify).toHaveBeenCalledTimes(1);
  });

  test('a tab that is closed right away hands the warning on to the next', async () => {
    warn();
    warn({ once: new OnceOverTabs(newTab()) });
    await jest.advanceTimersByTimeAsync(2000);
    locks.closeHolder();
    await settle();
    expect(notifications.notify).toHaveBeenCalledTimes(2);
  });

  test('a warning that the user closed at once comes in no other tab', async () => {
    warn();
    warn({ once: new OnceOverTabs(newTab()) });
    await jest.advanceTimersByTimeAsync(2000);
    open.clear();
    await jest.advanceTimersByTimeAsync(1000);
    locks.closeHolder();
    await settle();
    expect(notifications.notify).toHaveBeenCalledTimes(1);
  });

  test('a tab that nobody looks at leaves it to the one that is looked at', async () => {
    setHidden(true);
    warn();
    await settle();
    expect(notifications.notify).not.toHaveBeenCalled();
    setHidden(false);
    await settle();
    expect(notifications.notify).toHaveBeenCalledTimes(1);
  });

  test('without locks, over plain HTTP, the first tab warns', async () => {
    warn({ once: new OnceOverTabs({ ...newTab(), locks: undefined }) });
    await settle();
    warn({ once: new OnceOverTabs({ ...newTab(), locks: undefined }) });
    await settle();
    expect(notifications.notify).toHaveBeenCalledTimes(1);
  });

  test('what is over is not written down again and again', async () => {
    warn();
    const writing = jest.spyOn(Storage.prototype, 'setItem');
    await jest.advanceTimersByTimeAsync(60_000);
    expect(writing).toHaveBeenCalledTimes(1);
    writing.mockRestore();
  });
});
