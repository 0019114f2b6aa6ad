/**
 * The picture that all views show: fetched when the server reports a change, else slowly.
 *
 * Decides when to ask the server, and keeps the last status while it does not answer. Nothing else.
 */

import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import { Poll } from '@lumino/polling';
import { Signal, type ISignal } from '@lumino/signaling';

import { RequestError, type IClient } from './client';
import { ServerClock, type Ticker } from './clock';
import { endFrom, hasEnded, type IEnd } from './ending';
import type {
  App,
  Costs,
  Event,
  Settings,
  SettingsChange,
  Status
} from './openapi';
import type { Connection, IAutoShutdown, KeepAliveEnd } from './tokens';
import { endsWithApp } from './wording';

/** `$id` of the server's event schema, without its version. */
export const EVENT_SCHEMA =
  'https://github.com/sagemaker-autoshutdown/sagemaker-autoshutdown/events/';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;
/**
 * Between two requests if events report changes; then only costs and clocks change. No longer,
 * because an event that is sent while the connection is down is not sent again.
 */
const INTERVAL_WITH_EVENTS = MINUTE;
/** Without events: after each of the server's own checks, but within these bounds. */
const MIN_INTERVAL = 5 * SECOND;
const MAX_INTERVAL = MINUTE;
/** After the server's check, to see its result. */
const AFTER_CHECK = SECOND;
/**
 * While the server does not answer: from the shortest interval, doubling up to this. It depends on
 * how long the server has been away, so that other requests do not delay the poll.
 */
const MAX_BACKOFF = 2 * MINUTE;
const COSTS_MAX_AGE = 5 * MINUTE;
/** Settings are fetched again after this. */
const SETTINGS_MAX_AGE = 5 * MINUTE;
export const COST_DAYS = 30;
/** More than are shown, because some are not worth a line. */
const HISTORY_EVENTS = 60;
/** How often to ask for the result after a requested check began. */
const CHECK_LOOKS = 4;
/** Between two of these requests, and before the first. */
const CHECK_WAIT = SECOND;

/** One message of Jupyter's event bus. */
export interface IEmission {
  readonly schema_id?: unknown;
  readonly kind?: unknown;
}

/** Jupyter's event stream; JupyterLab 4 has one. */
export type EventStream = ISignal<unknown, IEmission>;

export class AutoShutdownModel implements IAutoShutdown, IDisposable {
  constructor(options: AutoShutdownModel.IOptions) {
    this._client = options.client;
    this._ticker = options.ticker;
    this._events = options.events ?? null;
    this._poll = new Poll({
      auto: false,
      name: 'sagemaker-autoshutdown:status',
      factory: () => this._ask(),
      standby: 'when-hidden',
      linger: 0
    });
    this._askNextIn(MAX_INTERVAL);
  }

  get stateChanged(): ISignal<this, void> {
    return this._stateChanged;
  }

  get connection(): Connection {
    return this._connection;
  }

  get connectionError(): string {
    return this._connectionError;
  }

  get status(): Status | null {
    return this._status;
  }

  get settings(): Settings | null {
    return this._settings;
  }

  get costs(): Costs | null {
    return this._costs;
  }

  get history(): readonly Event[] | null {
    return this._history;
  }

  get ended(): IEnd | null {
    return this._ended;
  }

  get isWatched(): boolean {
    return this._watchers > 0;
  }

  get isDisposed(): boolean {
    return this._poll.isDisposed;
  }

  now(): number {
    return this._clock.now();
  }

  /** Begin to poll and to listen. */
  start(): void {
    this._events?.connect(this._onEvent);
    this._ticker.woke.connect(this._askAgain);
    document.addEventListener('visibilitychange', this._onVisible);
    window.addEventListener('online', this._askAgain);
    window.addEventListener('pagehide', this._onPageHide);
    void this._poll.start();
  }

  dispose(): void {
    if (!this.isDisposed) {
      document.removeEventListener('visibilitychange', this._onVisible);
      window.removeEventListener('online', this._askAgain);
      window.removeEventListener('pagehide', this._onPageHide);
      this._events?.disconnect(this._onEvent);
      this._ticker.woke.disconnect(this._askAgain);
      this._poll.dispose();
      Signal.clearData(this);
    }
  }

  async refresh(): Promise<void> {
    await this._ask();
    // The next request may have to come sooner or later than planned.
    if (!this.isDisposed) {
      const { interval } = this._poll.frequency;
      await this._poll.schedule({ interval, phase: 'resolved' });
    }
  }

  /** Requests during a check share one that follows it: the check may have observed the world
   * before the change that they are about. */
  check(): Promise<void> {
    if (this._checking === null) {
      this._checking = this._check().finally(() => (this._checking = null));
      return this._checking;
    }
    this._checkingNext ??= this._checking.then(() => {
      this._checkingNext = null;
      return this.isDisposed ? undefined : this.check();
    });
    return this._checkingNext;
  }

  askWhileHidden(isNeeded: () => boolean): void {
    this._isNeededWhileHidden = isNeeded;
  }

  watchDetails(): IDisposable {
    this._watchers += 1;
    // Without events, nobody reported changes while the page was hidden.
    void this._updateDetails({ settings: true, history: true });
    return new DisposableDelegate(() => {
      this._watchers -= 1;
    });
  }

  async loadSettings(): Promise<Settings | null> {
    if (this._settings === null) {
      await this._fetchSettings();
    }
    return this._settings;
  }

  async keepAlive(appName: string, end: KeepAliveEnd): Promise<void> {
    this._replace(await this._client.keepAlive(appName, end));
  }

  async endKeepAlive(appName: string): Promise<void> {
    this._replace(await this._client.endKeepAlive(appName));
  }

  async shutDown(appName: string): Promise<void> {
    this._replace(await this._client.shutDown(appName));
  }

  async changeSettings(change: SettingsChange): Promise<void> {
    const changed = this._showNewer(() => this._client.changeSettings(change));
    this._changing = Promise.allSettled([this._changing, changed]);
    await changed;
    await this.refresh();
  }

  private async _check(): Promise<void> {
    const before = this._status?.checked_at;
    try {
      const { check_in_seconds } = await this._client.check();
      await pause(check_in_seconds * SECOND);
      for (let look = 0; look < CHECK_LOOKS; look += 1) {
        await pause(CHECK_WAIT);
        if (document.hidden) {
          return;
        }
        await this.refresh();
        if (this.isDisposed || this._status?.checked_at !== before) {
          return;
        }
      }
    } catch {
      // An older server has no such request; the status tells everything else.
      await this.refresh();
    }
  }

  /** Fetch the status; never rejects, see `connection`. Requests during another one
   * share one that follows it: that answer may be older than the change that they are about. */
  private _ask(): Promise<void> {
    if (this._asking === null) {
      this._asking = this._askOnce().finally(() => (this._asking = null));
      return this._asking;
    }
    this._askingNext ??= this._asking.then(() => {
      this._askingNext = null;
      return this._ask();
    });
    return this._askingNext;
  }

  private async _askOnce(): Promise<void> {
    const askedAt = Date.now();
    const wasTold = this._toldSinceAsked;
    this._toldSinceAsked = false;
    try {
      const status = await this._client.status();
      this._clock.set(status.now, askedAt, Date.now());
      this._trustEvents(status, wasTold);
      const regained = this._connection !== 'connected';
      const happened =
        regained ||
        (!this._eventsWork &&
          whatHappened(status) !== whatHappened(this._status));
      this._status = status;
      this._ended = null;
      this._end = endFrom(status, this._end);
      this._connection = 'connected';
      this._connectionError = '';
      this._awaySince = null;
      this._askNextIn(this._intervalAfter(status));
      this._stateChanged.emit();
      void this._updateDetails({
        settings: regained,
        costs: regained,
        history: happened
      });
    } catch (error) {
      this._connection = connectionAfter(error, this._status !== null);
      this._connectionError =
        error instanceof Error ? error.message : String(error);
      if (hasEnded(this._end, this._status, this.now())) {
        this._ended ??= this._end;
      }
      this._awaySince ??= Date.now();
      const away = Math.max(Date.now() - this._awaySince, 0);
      this._askNextIn(Math.min(MIN_INTERVAL + away, MAX_BACKOFF));
      this._stateChanged.emit();
    }
  }

  /** Events are trusted once one came, until a change comes without one. */
  private _trustEvents(status: Status, wasTold: boolean): void {
    if (wasTold) {
      this._eventsWork = true;
    } else if (this._status !== null && !this._toldSinceAsked) {
      if (whatEventsTell(status) !== whatEventsTell(this._status)) {
        this._eventsWork = false;
      }
    }
  }

  private _intervalAfter(status: Status): number {
    if (isStarting(status) || isEnding(status)) {
      return MIN_INTERVAL;
    }
    if (this._eventsWork) {
      return INTERVAL_WITH_EVENTS;
    }
    const next = Date.parse(status.next_check_at ?? '');
    const wait = next + AFTER_CHECK - this.now();
    return Number.isFinite(wait)
      ? Math.min(Math.max(wait, MIN_INTERVAL), MAX_INTERVAL)
      : MAX_INTERVAL;
  }

  /** Not the poll's own backoff, which starts from the last interval, was long while all was
   * well, and ignores requests between its own. */
  private _askNextIn(interval: number): void {
    this._poll.frequency = { interval, backoff: false, max: MAX_BACKOFF };
  }

  /** Fetch outdated or requested details. */
  private async _updateDetails(
    must: { settings?: boolean; costs?: boolean; history?: boolean } = {}
  ): Promise<void> {
    if (this._watchers === 0 || this._status?.host === 'none') {
      return;
    }
    const costsAreOld = Date.now() - this._costsAskedAt > COSTS_MAX_AGE;
    // Somebody else may have changed them: another tab, the command line.
    const settingsAreOld =
      this._settings === null ||
      Date.now() - this._settingsAskedAt > SETTINGS_MAX_AGE;
    await Promise.all([
      must.settings || settingsAreOld ? this._fetchSettings() : undefined,
      must.costs || costsAreOld ? this._fetchCosts() : undefined,
      must.history || costsAreOld ? this._fetchHistory() : undefined
    ]);
  }

  private async _fetchSettings(): Promise<void> {
    this._settingsAskedAt = Date.now();
    // A request now could return the state before the pending change.
    await this._changing;
    try {
      await this._showNewer(() => this._client.settings());
    } catch {
      // The status is fetched as well, and shows the problem.
    }
  }

  /** Show settings, unless those of a later request are already shown. */
  private async _showNewer(ask: () => Promise<Settings>): Promise<void> {
    const turn = (this._settingsTurn += 1);
    const settings = await ask();
    if (turn > this._settingsShown) {
      this._settingsShown = turn;
      this._settings = settings;
      this._stateChanged.emit();
    }
  }

  private async _fetchCosts(): Promise<void> {
    this._costsAskedAt = Date.now();
    const today = Math.floor(this.now() / DAY) * DAY;
    try {
      this._costs = await this._client.costs(
        new Date(today - (COST_DAYS - 1) * DAY)
      );
      this._stateChanged.emit();
    } catch {
      // As above; if only costs fail, the totals in the status are still shown.
    }
  }

  private async _fetchHistory(): Promise<void> {
    try {
      this._history = (await this._client.history(HISTORY_EVENTS)).events;
      this._stateChanged.emit();
    } catch {
      // As above.
    }
  }

  /** Show the answer of an action, then its other effects. */
  private _replace(app: App): void {
    if (this._status !== null) {
      const apps = this._status.apps.map(each =>
        each.app_name === app.app_name ? app : each
      );
      this._status = { ...this._status, apps };
      this._stateChanged.emit();
    }
    void this.refresh();
    void this._updateDetails({ history: true });
  }

  private readonly _onEvent = (_: unknown, emission: IEmission): void => {
    const schema = emission.schema_id;
    if (typeof schema === 'string' && schema.startsWith(EVENT_SCHEMA)) {
      this._toldSinceAsked = true;
      if (document.hidden) {
        this._wasToldWhileHidden = true;
        if (this._isNeededWhileHidden()) {
          void this.refresh();
        }
        return;
      }
      if (emission.kind === 'settings' && this._settings !== null) {
        void this._fetchSettings();
      }
      if (emission.kind !== 'status') {
        void this._updateDetails({ history: true });
      }
      void this.refresh();
    }
  };

  private readonly _askAgain = (): void => {
    if (!document.hidden) {
      void this._poll.refresh();
    }
  };

  private readonly _onVisible = (): void => {
    this._askAgain();
    if (!document.hidden && this._wasToldWhileHidden) {
      this._wasToldWhileHidden = false;
      if (this._settings !== null) {
        void this._fetchSettings();
      }
      void this._updateDetails({ history: true });
    }
  };

  /** A page that the browser keeps for going back counts as closed, too. */
  private readonly _onPageHide = (): void => {
    if (this._status !== null && this._status.host !== 'none') {
      this._client.pageClosed();
    }
  };

  private readonly _client: IClient;
  private readonly _ticker: Ticker;
  private readonly _events: EventStream | null;
  private readonly _poll: Poll;
  private readonly _clock = new ServerClock();
  private readonly _stateChanged = new Signal<this, void>(this);
  private _connection: Connection = 'connecting';
  private _connectionError = '';
  private _status: Status | null = null;
  private _settings: Settings | null = null;
  private _costs: Costs | null = null;
  private _history: readonly Event[] | null = null;
  private _end: IEnd | null = null;
  private _ended: IEnd | null = null;
  private _checking: Promise<void> | null = null;
  private _checkingNext: Promise<void> | null = null;
  private _settingsAskedAt = 0;
  private _settingsTurn = 0;
  private _settingsShown = 0;
  private _changing: Promise<unknown> = Promise.resolve();
  private _costsAskedAt = -Infinity;
  private _watchers = 0;
  private _awaySince: number | null = null;
  private _asking: Promise<void> | null = null;
  private _askingNext: Promise<void> | null = null;
  private _toldSinceAsked = false;
  private _eventsWork = false;
  private _wasToldWhileHidden = false;
  private _isNeededWhileHidden = (): boolean => false;
}

export namespace AutoShutdownModel {
  export interface IOptions {
    client: IClient;
    ticker: Ticker;
    /** Jupyter's events, if the server and JupyterLab support them. */
    events?: EventStream | undefined;
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise(done => setTimeout(done, milliseconds));
}

/** Parts of the status whose changes the server reports by an event. */
function whatEventsTell(status: Status): string {
  return JSON.stringify([status.apps, status.problems, status.check_overdue]);
}

/** Changes that are worth a line without an event of their own. */
function whatHappened(status: Status | null): string {
  const apps = status?.apps.map(app => [
    app.app_name,
    app.status,
    app.state === 'shutting_down' || app.state === 'failed',
    app.kept_until
  ]);
  return JSON.stringify(apps);
}

/** Whether the server's first check is still to come: in moments, or after a problem is reported. */
function isStarting(status: Status): boolean {
  return (
    status.host !== 'none' &&
    status.checked_at === null &&
    !status.check_overdue
  );
}

/** Whether the server is about to end: nobody could send its last event. */
function isEnding(status: Status): boolean {
  return (
    endsWithApp(status) &&
    status.apps.some(app => app.state === 'shutting_down')
  );
}

function connectionAfter(error: unknown, wasThere: boolean): Connection {
  switch (error instanceof RequestError ? error.status : 0) {
    case 401:
    case 403:
      return 'forbidden';
    case 404:
      // A proxy without a server behind it answers like this, too.
      return wasThere ? 'lost' : 'missing';
    default:
      return 'lost';
  }
}
