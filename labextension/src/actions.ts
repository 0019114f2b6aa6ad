/**
 * A user's actions on an app, with the questions and messages around them.
 */

import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { KEEP_SECONDS, keptAfterPress } from './keeping';
import type { App, Status } from './openapi';
import type { IAutoShutdown, IDocumentSaver, KeepAliveEnd } from './tokens';
import { distinctTitle, endsWithApp } from './wording';

/** The actions that views offer. All may reject with `RequestError`. */
export interface IActions {
  /** Keep an app until a time. */
  keepAlive(app: App, end: KeepAliveEnd): Promise<void>;
  /** Keep an app an hour longer, or as long as the admin allows if that is less. */
  keepLonger(app: App): Promise<void>;
  endKeepAlive(app: App): Promise<void>;
  /** Asks first; false if the user cancels. */
  shutDown(app: App): Promise<boolean>;
}

export class Actions implements IActions {
  constructor(
    private readonly _model: IAutoShutdown,
    private readonly _trans: TranslationBundle,
    private readonly _saver: IDocumentSaver | null
  ) {}

  keepAlive(app: App, end: KeepAliveEnd): Promise<void> {
    return this._model.keepAlive(app.app_name, end);
  }

  async keepLonger(app: App): Promise<void> {
    const settings = await this._model.loadSettings();
    const longest = settings?.max_keep_alive ?? null;
    const now = this._model.now();
    const until = keptAfterPress(app, now, longest);
    if (until !== null) {
      const seconds = Math.min((until - now) / 1000, longest ?? Infinity);
      // Almost an hour counts as an hour, because the server counts from the time of the request.
      await this._model.keepAlive(app.app_name, {
        seconds: Math.abs(seconds - KEEP_SECONDS) < 1 ? KEEP_SECONDS : seconds
      });
    }
  }

  endKeepAlive(app: App): Promise<void> {
    return this._model.endKeepAlive(app.app_name);
  }

  async shutDown(app: App): Promise<boolean> {
    const trans = this._trans;
    const status = this._model.status;
    const title = distinctTitle(app, status?.apps ?? [], trans);
    const answer = await showDialog({
      title:
        app.app_type === 'JupyterLab'
          ? trans.__('Shut down this JupyterLab?')
          : trans.__('Shut down %1?', title),
      body: this._consequences(app, status),
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.warnButton({ label: trans.__('Shut down') })
      ],
      defaultButton: 0
    });
    if (!answer.button.accept || !(await this._saved())) {
      return false;
    }
    await this._model.shutDown(app.app_name);
    return true;
  }

  private _consequences(app: App, status: Status | null): string {
    const trans = this._trans;
    const said = [];
    const running = app.work
      .filter(work => work.state === 'busy' || work.background_job)
      .map(work => work.label);
    if (running.length > 0) {
      said.push(trans.__('Still running: %1.', running.join(', ')));
    }
    if (app.work.length > 0) {
      said.push(
        trans.__('The variables in its kernels are lost; files are kept.')
      );
    } else if (app.state === 'idle' || app.state === 'warned') {
      said.push(trans.__('No kernel or terminal is open in it.'));
    } else {
      // Some kernels may not have been seen.
      said.push(trans.__('Whatever runs in it ends; files are kept.'));
    }
    const neighbours = (status?.instances ?? [])
      .filter(instance => instance.app_names.includes(app.app_name))
      .flatMap(instance => instance.app_names)
      .filter(name => name !== app.app_name);
    if (neighbours.length > 0) {
      said.push(
        trans.__(
          '%1 still costs money: other apps run on it.',
          app.instance_type
        )
      );
    }
    if (status !== null && endsWithApp(status)) {
      said.push(trans.__('This JupyterLab ends with it.'));
      if (this._saver?.isNeeded) {
        said.push(trans.__('Unsaved documents are saved first.'));
      }
    }
    return said.join(' ');
  }

  /** Save unsaved documents if the server is about to end; returns whether to go on. */
  private async _saved(): Promise<boolean> {
    const trans = this._trans;
    const failed = this._saver?.isNeeded ? await this._saver.saveAll() : [];
    if (failed.length === 0) {
      return true;
    }
    const answer = await showDialog({
      title: trans.__('Shut down without saving?'),
      body: trans.__('These could not be saved: %1', failed.join(', ')),
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.warnButton({ label: trans.__('Shut down') })
      ],
      defaultButton: 0
    });
    return answer.button.accept;
  }
}
