/**
 * The notification before a shutdown: counts down, goes away when the shutdown does, and comes
 * once for each deadline.
 */

import type { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { DisposableSet, type IDisposable } from '@lumino/disposable';

import type { Ticker } from './clock';
import { duration, secondsUntil, time } from './format';
import type { App, Status } from './openapi';
import type { IAutoShutdown, IDisplaySettings, IDocumentSaver } from './tokens';
import { canAct, distinctTitle } from './wording';

/** JupyterLab's notification manager. */
export type Notifications = Pick<
  typeof Notification.manager,
  'notify' | 'update' | 'dismiss'
>;

const SHOWN_KEY = 'sagemaker-autoshutdown:warned';
const MAX_REMEMBERED = 50;

interface IShown {
  id: string;
  key: string;
  message: string;
}

export class Warnings {
  constructor(private readonly _options: Warnings.IOptions) {
    this._remembered = remembered(_options.storage);
  }

  /** Warn until the result is disposed of. */
  watch(): IDisposable {
    const { model, display, ticker } = this._options;
    const update = (): void => this.update();
    model.stateChanged.connect(update);
    display.changed.connect(update);
    update();
    return DisposableSet.from([
      ticker.subscribe(update),
      {
        isDisposed: false,
        dispose: () => {
          model.stateChanged.disconnect(update);
          display.changed.disconnect(update);
          this._dismissAllBut(new Set());
        }
      }
    ]);
  }

  /** Show what is new, count down, take away what is over. */
  update(): void {
    const { model, display, notifications, isOpen } = this._options;
    const { status } = model;
    const apps = status && display.notifications ? warnedApps(status) : [];
    this._dismissAllBut(new Set(apps.map(({ key }) => key)));
    if (apps.length > 0 && !this._mayKeepKnown) {
      // Whether "Keep running" can be offered is up to the administrator.
      void this._learnSettings();
      return;
    }
    for (const { app, key, at } of apps) {
      const message = this._message(app, at, status?.apps ?? []);
      const shown = this._shown.get(app.app_name);
      if (shown === undefined) {
        if (!this._remembered.has(key)) {
          this._remember(key);
          this._show(app, key, message);
        }
      } else if (shown.message !== message) {
        shown.message = message;
        // JupyterLab would show a toast again that the user has closed.
        if (isOpen(shown.id)) {
          notifications.update({ id: shown.id, message });
        }
      }
    }
  }

  private async _learnSettings(): Promise<void> {
    if (!this._learning) {
      this._learning = true;
      await this._options.model.loadSettings();
      this._mayKeepKnown = true;
      this.update();
    }
  }

  private _show(app: App, key: string, message: string): void {
    const { trans, model, notifications, keepRunning, shutDown } =
      this._options;
    const actions: Notification.IAction[] = [
      {
        label: trans.__('Shut down now'),
        callback: () => shutDown(app.app_name)
      }
    ];
    if (model.settings?.max_keep_alive !== 0) {
      actions.unshift({
        label: trans.__('Keep running'),
        caption: trans.__('Keep it alive for an hour'),
        displayType: 'accent',
        callback: () => keepRunning(app.app_name)
      });
    }
    const id = notifications.notify(message, 'warning', {
      autoClose: false,
      actions
    });
    this._shown.set(app.app_name, { id, key, message });
  }

  private _dismissAllBut(keys: ReadonlySet<string>): void {
    for (const [name, shown] of this._shown) {
      if (!keys.has(shown.key)) {
        this._shown.delete(name);
        this._options.notifications.dismiss(shown.id);
      }
    }
  }

  /** Short: JupyterLab cuts what is longer than 140 characters. */
  private _message(app: App, at: string, apps: readonly App[]): string {
    const { trans, model, saver } = this._options;
    const now = model.now();
    const seconds = shownSeconds(secondsUntil(at, now));
    const title = distinctTitle(app, apps, trans);
    const text =
      seconds > 0
        ? trans.__(
            '%1 will be shut down in %2, at %3.',
            title,
            duration(seconds, trans),
            time(Date.parse(at), now)
          )
        : trans.__('%1 is about to be shut down.', title);
    return saver?.isNeeded
      ? `${text} ${trans.__('Unsaved documents are saved first.')}`
      : text;
  }

  private _remember(key: string): void {
    this._remembered.add(key);
    const latest = [...this._remembered].slice(-MAX_REMEMBERED);
    try {
      this._options.storage.setItem(SHOWN_KEY, JSON.stringify(latest));
    } catch {
      // Then a reload of the page may warn again.
    }
  }

  private readonly _shown = new Map<string, IShown>();
  private readonly _remembered: Set<string>;
  private _learning = false;
  private _mayKeepKnown = false;
}

export namespace Warnings {
  export interface IOptions {
    model: IAutoShutdown;
    display: IDisplaySettings;
    ticker: Ticker;
    trans: TranslationBundle;
    notifications: Notifications;
    /** Whether the toast of a notification is there: the manager does not know. */
    isOpen: (id: string) => boolean;
    saver: IDocumentSaver | null;
    /** Of this browser tab: what was warned of is not warned of again after a reload. */
    storage: Storage;
    keepRunning: (appName: string) => void;
    shutDown: (appName: string) => void;
  }
}

function warnedApps(status: Status): { app: App; key: string; at: string }[] {
  return status.apps.flatMap(app =>
    app.state === 'warned' &&
    app.shutdown_at !== null &&
    app.reason !== 'user_request' &&
    !status.dry_run &&
    canAct(app)
      ? [
          {
            app,
            at: app.shutdown_at,
            key: `${app.app_name} ${app.shutdown_at}`
          }
        ]
      : []
  );
}

/** Screen readers say every change of a notification, so it counts in steps: whole minutes, then
 * tens of seconds, then five. */
function shownSeconds(seconds: number): number {
  const step = seconds > 120 ? 60 : seconds > 30 ? 10 : 5;
  return Math.max(0, Math.ceil(seconds / step) * step);
}

function remembered(storage: Storage): Set<string> {
  try {
    const keys: unknown = JSON.parse(storage.getItem(SHOWN_KEY) ?? '[]');
    return new Set(
      Array.isArray(keys) ? keys.filter(key => typeof key === 'string') : []
    );
  } catch {
    return new Set();
  }
}
