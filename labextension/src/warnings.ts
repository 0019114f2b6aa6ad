/**
 * The notification before a shutdown. It disappears when the shutdown is off, and comes once for each
 * deadline, in one of a browser's tabs. It names the time; the panel and the status bar count down.
 */

import type { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { DisposableSet, type IDisposable } from '@lumino/disposable';

import type { Ticker } from './clock';
import { time } from './format';
import type { ITurn, OnceOverTabs } from './once';
import type { App, Status } from './openapi';
import type { IAutoShutdown, IDisplaySettings, IDocumentSaver } from './tokens';
import { canAct, distinctTitle } from './wording';

/** JupyterLab's notification manager. */
export type Notifications = Pick<
  typeof Notification.manager,
  'notify' | 'update' | 'dismiss'
>;

/** A toast that was open for this long counts as seen. */
const SEEN_AFTER_MS = 5000;

interface IShown {
  id: string;
  message: string;
  since: number;
  wasOpen: boolean;
}

/** An app, the deadline of its warning, and a key for both. */
interface IWarned {
  app: App;
  at: string;
  key: string;
}

export class Warnings {
  constructor(private readonly _options: Warnings.IOptions) {}

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

  /** Show new warnings, remove those that are over. */
  update(): void {
    const warned = this._warned();
    this._dismissAllBut(new Set(warned.map(({ key }) => key)));
    if (warned.length > 0 && !this._mayKeepKnown) {
      // The administrator decides whether "Keep 1 h" can be offered.
      if (!document.hidden) {
        void this._learnSettings();
      }
      return;
    }
    for (const each of warned) {
      const shown = this._shown.get(each.key);
      if (shown !== undefined) {
        this._follow(each, shown);
      } else if (!this._turns.has(each.key)) {
        this._warnOnce(each.key);
      }
    }
  }

  private _warned(): IWarned[] {
    const { model, display } = this._options;
    return model.status !== null && display.notifications
      ? warnedApps(model.status)
      : [];
  }

  /** A hidden page leaves it to another tab, or waits. */
  private _warnOnce(key: string): void {
    const { once } = this._options;
    if (document.hidden || once.isOver(key)) {
      return;
    }
    const turn = once.take(key, () => {
      const now = this._warned().find(each => each.key === key);
      if (now !== undefined) {
        this._show(now);
      }
    });
    this._turns.set(key, turn);
  }

  private _follow(warned: IWarned, shown: IShown): void {
    const { notifications, isOpen } = this._options;
    const message = this._message(warned);
    if (isOpen(shown.id)) {
      shown.wasOpen = true;
      if (shown.message !== message) {
        shown.message = message;
        notifications.update({ id: shown.id, message });
      }
    } else if (shown.wasOpen) {
      // The user closed it. JupyterLab would show it again if it were updated.
      this._turns.get(warned.key)?.end();
    }
    if (Date.now() - shown.since >= SEEN_AFTER_MS) {
      this._turns.get(warned.key)?.end();
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

  private _show(warned: IWarned): void {
    const { trans, model, notifications, keepRunning, shutDown } =
      this._options;
    const { app, key } = warned;
    // The warning stays until its deadline is gone: the user may cancel, or the request may fail.
    const doing =
      (action: (appName: string) => void) => (event: MouseEvent) => {
        event.preventDefault();
        action(app.app_name);
      };
    const actions: Notification.IAction[] = [
      { label: trans.__('Shut down'), callback: doing(shutDown) }
    ];
    if (model.settings?.max_keep_alive !== 0) {
      actions.unshift({
        label: trans.__('Keep 1 h'),
        displayType: 'accent',
        callback: doing(keepRunning)
      });
    }
    const message = this._message(warned);
    const id = notifications.notify(message, 'warning', {
      autoClose: false,
      actions
    });
    const since = Date.now();
    this._shown.set(key, { id, message, since, wasOpen: false });
  }

  private _dismissAllBut(keys: ReadonlySet<string>): void {
    for (const [key, turn] of this._turns) {
      if (!keys.has(key)) {
        this._turns.delete(key);
        turn.end();
      }
    }
    for (const [key, shown] of this._shown) {
      if (!keys.has(key)) {
        this._shown.delete(key);
        this._options.notifications.dismiss(shown.id);
      }
    }
  }

  /** Short: JupyterLab cuts text longer than 140 characters. It seldom changes, because screen readers
   * announce every change. */
  private _message({ app, at }: IWarned): string {
    const { trans, model, saver } = this._options;
    const now = model.now();
    const when = Date.parse(at);
    const name =
      app.app_type === 'JupyterLab'
        ? trans.__('This JupyterLab')
        : distinctTitle(app, model.status?.apps ?? [], trans);
    const text =
      when > now
        ? trans.__('%1 will be shut down at %2.', name, time(when, now))
        : trans.__('%1 is about to be shut down.', name);
    return saver?.isNeeded
      ? `${text} ${trans.__('Unsaved documents are saved first.')}`
      : text;
  }

  private readonly _shown = new Map<string, IShown>();
  private readonly _turns = new Map<string, ITurn>();
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
    /** Whether the toast of a notification exists: the manager does not know. */
    isOpen: (id: string) => boolean;
    saver: IDocumentSaver | null;
    once: OnceOverTabs;
    keepRunning: (appName: string) => void;
    shutDown: (appName: string) => void;
  }
}

function warnedApps(status: Status): IWarned[] {
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
