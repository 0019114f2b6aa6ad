/**
 * Saves unsaved documents before a shutdown that ends this server.
 *
 * In a JupyterLab space and on a notebook instance the server ends with its app, and unsaved
 * documents are lost. The server counts a saved document as use, whoever saves it. So
 * a save may put the shutdown off. Nothing is unsaved then, so the app is shut down at the next one.
 */

import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import type { Widget } from '@lumino/widgets';

import { secondsUntil } from './format';
import type { IAutoShutdown, IDisplaySettings, IDocumentSaver } from './tokens';
import { canAct, endsWithApp } from './wording';

/** Seconds before a deadline at which documents are saved. More than once, because a user may go on
 * writing; and early, because a hidden page's timers may be a minute late. */
const SAVE_BEFORE = [150, 60, 20, 5] as const;
/** The shortest time between two requests for a deadline, in seconds. */
const LOOK_INTERVAL = 30;
/** Seconds: a longer timer would overflow. */
const LONGEST_WAIT = 86_400;

/** The part of JupyterLab's document manager that this module uses. */
export type Documents = Pick<IDocumentManager, 'contextForWidget'>;

export class DocumentSaver implements IDocumentSaver {
  constructor(private readonly _options: DocumentSaver.IOptions) {}

  get isNeeded(): boolean {
    const { model, display } = this._options;
    return (
      display.saveBeforeShutdown &&
      model.status !== null &&
      endsWithApp(model.status)
    );
  }

  get hasSaved(): boolean {
    return this._hasSaved;
  }

  unsaved(): string[] {
    return this._unsaved()
      .map(context => context.path)
      .sort();
  }

  async saveAll(): Promise<string[]> {
    const failed: string[] = [];
    await Promise.all(
      this._unsaved().map(async context => {
        try {
          await context.save();
          this._hasSaved = true;
        } catch (error) {
          console.warn(`Saving ${context.path} failed:`, error);
          failed.push(context.path);
        }
      })
    );
    return failed.sort();
  }

  private _unsaved(): DocumentRegistry.Context[] {
    const { documents, widgets } = this._options;
    const contexts = new Set(
      widgets().map(widget => documents.contextForWidget(widget))
    );
    return [...contexts].flatMap(context =>
      context?.model.dirty && !context.model.readOnly ? [context] : []
    );
  }

  /** Save before every deadline, until the result is disposed of. */
  watch(): IDisposable {
    const { model, display } = this._options;
    model.askWhileHidden(() => this._hasToAsk());
    const update = (): void => this._update();
    model.stateChanged.connect(update);
    display.changed.connect(update);
    this._update();
    return new DisposableDelegate(() => {
      model.stateChanged.disconnect(update);
      display.changed.disconnect(update);
      clearTimeout(this._timer);
    });
  }

  private _update(): void {
    clearTimeout(this._timer);
    const deadline = this.isNeeded ? this._deadline() : null;
    if (deadline !== this._savedFor) {
      this._savedFor = deadline;
      this._saves = 0;
    }
    if (deadline === null) {
      this._lookAgain();
      return;
    }
    const left = secondsUntil(deadline, this._options.model.now());
    const due = SAVE_BEFORE.filter(before => left <= before).length;
    if (due > this._saves) {
      this._saves = due;
      void this._saveIfStillDue(deadline);
    }
    const next = SAVE_BEFORE[due];
    if (next !== undefined) {
      const wait = Math.min(left - next, LONGEST_WAIT);
      this._timer = setTimeout(() => this._update(), wait * 1000);
    }
  }

  /** Whether anything would be lost. A hidden page without unsaved documents sends no requests. */
  private _hasToAsk(): boolean {
    return this.isNeeded && (!document.hidden || this._unsaved().length > 0);
  }

  /** Without events, nobody tells a hidden page about a deadline: ask before one that may have
   * come up just now is near. Asking does not count as activity. */
  private _lookAgain(): void {
    const { model } = this._options;
    if (this.isNeeded) {
      const limits = model.status?.apps.map(app => app.idle_timeout) ?? [];
      const soonest = Math.min(...limits) - SAVE_BEFORE[0];
      const wait = Math.min(Math.max(soonest, LOOK_INTERVAL), LONGEST_WAIT);
      this._timer = setTimeout(() => {
        // Even without an answer.
        this._lookAgain();
        if (this._hasToAsk()) {
          void model.refresh();
        }
      }, wait * 1000);
    }
  }

  /** A hidden page may not know of recent activity: ask before saving. */
  private async _saveIfStillDue(deadline: string): Promise<void> {
    if (!this._hasToAsk()) {
      return;
    }
    await this._options.model.refresh();
    const { connection } = this._options.model;
    if (connection !== 'connected' || this._deadline() === deadline) {
      await this.saveAll();
    }
  }

  private _deadline(): string | null {
    const status = this._options.model.status;
    if (status === null || status.dry_run) {
      return null;
    }
    const app = status.apps.find(each => each.shutdown_at && canAct(each));
    return app?.shutdown_at ?? null;
  }

  private _savedFor: string | null = null;
  private _saves = 0;
  private _hasSaved = false;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

export namespace DocumentSaver {
  export interface IOptions {
    model: IAutoShutdown;
    display: IDisplaySettings;
    documents: Documents;
    /** All open documents' widgets, and maybe others. */
    widgets: () => Widget[];
  }
}
