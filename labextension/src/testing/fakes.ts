/**
 * Stand-ins for what is outside: the server, and the part of the model that views and helpers use.
 */

import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';

import type { IClient } from '../client';
import type { App, Costs, Settings, Status } from '../openapi';
import type {
  Area,
  Connection,
  IAutoShutdown,
  IDisplaySettings
} from '../tokens';
import * as fixtures from './fixtures';

/** A server that answers what it is told to, and notes what it was asked. */
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

  /** How often something was asked. */
  count(what: keyof IClient): number {
    return this.asked.filter(([name]) => name === what).length;
  }

  status(): Promise<Status> {
    return this._answer(this.answers.status, 'status');
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

/** A model that shows what it is told to, by the clock of the fixtures. */
export class FakeModel implements IAutoShutdown {
  readonly stateChanged = new Signal<this, void>(this);
  connection: Connection = 'connected';
  connectionError = '';
  status: Status | null = fixtures.status();
  settings: Settings | null = fixtures.settings();
  costs: Costs | null = null;
  /** Seconds since the fixtures' `NOW`. */
  seconds = 0;
  watchers = 0;

  refresh = jest.fn(() => Promise.resolve());
  loadSettings = jest.fn(() => Promise.resolve(this.settings));
  keepAlive = jest.fn<Promise<void>, unknown[]>(() => Promise.resolve());
  endKeepAlive = jest.fn(() => Promise.resolve());
  shutDown = jest.fn(() => Promise.resolve());
  changeSettings = jest.fn(() => Promise.resolve());

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
