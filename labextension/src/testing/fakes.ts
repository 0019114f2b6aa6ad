/**
 * Stand-ins for the outside: the server, and the part of the model that views and helpers use.
 */

import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';

import type { IClient } from '../client';
import type { ILocks } from '../once';
import type { IEnd } from '../ending';
import type {
  App,
  Check,
  Costs,
  Event,
  History,
  Settings,
  Status
} from '../openapi';
import type {
  Area,
  Connection,
  IAutoShutdown,
  IDisplaySettings
} from '../tokens';
import * as fixtures from './fixtures';

/** A server that gives prepared answers and records requests. */
export class FakeClient implements IClient {
  readonly asked: unknown[][] = [];
  readonly answers: {
    status: Status | Error | Promise<Status>;
    settings: Settings | Error | Promise<Settings>;
    costs: Costs | Error;
    app: App | Error;
  } = {
    status: fixtures.status(),
    settings: fixtures.settings(),
    costs: fixtures.costs(),
    app: fixtures.keptApp
  };

  /** How often something was requested. */
  count(what: keyof IClient): number {
    return this.asked.filter(([name]) => name === what).length;
  }

  status(): Promise<Status> {
    return this._answer(this.answers.status, 'status');
  }

  check(): Promise<Check> {
    return this._answer({ check_in_seconds: 0 }, 'check');
  }

  pageClosed(): void {
    this.asked.push(['pageClosed']);
  }

  history(...args: unknown[]): Promise<History> {
    return this._answer(fixtures.history(), 'history', ...args);
  }

  settings(): Promise<Settings> {
    return this._answer(this.answers.settings, 'settings');
  }

  changeSettings(...args: unknown[]): Promise<Settings> {
    return this._answer(this.answers.settings, 'changeSettings', ...args);
  }

  keepAlive(...args: unknown[]): Promise<App> {
    return this._answer(this.answers.app, 'keepAlive', ...args);
  }

  endKeepAlive(...args: unknown[]): Promise<App> {
    return this._answer(this.answers.app, 'endKeepAlive', ...args);
  }

  shutDown(...args: unknown[]): Promise<App> {
    return this._answer(this.answers.app, 'shutDown', ...args);
  }

  costs(...args: unknown[]): Promise<Costs> {
    return this._answer(this.answers.costs, 'costs', ...args);
  }

  private async _answer<T>(
    answer: T | Error | Promise<T>,
    ...asked: unknown[]
  ): Promise<T> {
    this.asked.push(asked);
    const given = await answer;
    if (given instanceof Error) {
      throw given;
    }
    return given;
  }
}

/** A model with a prepared status, by the clock of the fixtures. */
export class FakeModel implements IAutoShutdown {
  readonly stateChanged = new Signal<this, void>(this);
  connection: Connection = 'connected';
  connectionError = '';
  status: Status | null = fixtures.status();
  settings: Settings | null = fixtures.settings();
  costs: Costs | null = null;
  history: readonly Event[] | null = null;
  ended: IEnd | null = null;
  readonly askWhileHidden = jest.fn();
  /** Seconds since the fixtures' `NOW`. */
  seconds = 0;
  watchers = 0;

  refresh = jest.fn(() => Promise.resolve());
  check = jest.fn(() => Promise.resolve());
  loadSettings = jest.fn(() => Promise.resolve(this.settings));
  keepAlive = jest.fn<Promise<void>, unknown[]>(() => Promise.resolve());
  endKeepAlive = jest.fn(() => Promise.resolve());
  shutDown = jest.fn(() => Promise.resolve());
  changeSettings = jest.fn(() => Promise.resolve());

  get isWatched(): boolean {
    return this.watchers > 0;
  }

  now(): number {
    return Date.parse(fixtures.at(this.seconds));
  }

  watchDetails(): IDisposable {
    this.watchers += 1;
    return new DisposableDelegate(() => (this.watchers -= 1));
  }

  /** Show another status. */
  show(status: Status | null): void {
    this.status = status;
    this.stateChanged.emit();
  }
}

export class FakeDisplay implements IDisplaySettings {
  readonly changed = new Signal<this, void>(this);
  area: Area = 'right';
  statusBar = true;
  notifications = true;
  saveBeforeShutdown = true;
}

/** A tab's own storage. */
export class FakeStorage implements Storage {
  get length(): number {
    return this._items.size;
  }
  clear = (): void => this._items.clear();
  getItem = (key: string): string | null => this._items.get(key) ?? null;
  key = (index: number): string | null =>
    [...this._items.keys()][index] ?? null;
  removeItem = (key: string): void => void this._items.delete(key);
  setItem = (key: string, value: string): void =>
    void this._items.set(key, value);

  private readonly _items = new Map<string, string>();
}

/** A browser's locks, which one tab after another holds. All have one name. */
export class FakeLocks implements ILocks {
  async request(
    _: string,
    { signal }: { signal: AbortSignal },
    whileHeld: () => Promise<void>
  ): Promise<void> {
    const before = this._last;
    let free = (): void => undefined;
    const freed = new Promise<void>(done => (free = done));
    this._last = before.then(() => freed);
    await before;
    this._holder = free;
    if (!signal.aborted) {
      await Promise.race([whileHeld(), freed]);
    }
    free();
  }

  /** Close the tab that holds the lock. */
  closeHolder(): void {
    this._holder();
  }

  private _last: Promise<void> = Promise.resolve();
  private _holder = (): void => undefined;
}
