/**
 * The apps in JupyterLab's Running panel: each can be shut down by itself, and "Shut Down
 * All" leaves them alone.
 */

import type { IRunningSessions } from '@jupyterlab/running';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Signal, type ISignal } from '@lumino/signaling';

import { CommandIDs } from './commands';
import { timerIcon } from './icon';
import type { App } from './openapi';
import type { IAutoShutdown } from './tokens';
import { appLabel, canAct, distinctTitle } from './wording';

type Execute = (
  command: string,
  args?: ReadonlyPartialJSONObject
) => Promise<unknown>;

export class RunningApps implements IRunningSessions.IManager {
  constructor(
    private readonly _model: IAutoShutdown,
    private readonly _trans: TranslationBundle,
    private readonly _execute: Execute
  ) {
    _model.stateChanged.connect(() => {
      const shown = this._items()
        .map(item => [item.label(), item.labelTitle(), item.canShutDown].join())
        .join('\n');
      if (shown !== this._shown) {
        this._shown = shown;
        this._runningChanged.emit();
      }
    });
  }

  get name(): string {
    return this._trans.__('SageMaker Apps');
  }

  get shutdownLabel(): string {
    return this._trans.__('Shut Down');
  }

  /** The label of this section's button, if that is shown at all. */
  get shutdownAllConfirmationText(): string {
    return this._trans.__('Shut SageMaker apps down one by one.');
  }

  get runningChanged(): ISignal<this, void> {
    return this._runningChanged;
  }

  running(): IRunningSessions.IRunningItem[] {
    return this._items();
  }

  /** Shuts none down: a user who ends all kernels may not mean the instances below. */
  shutdownAll(): void {
    // Each app has a button of its own.
  }

  refreshRunning(): void {
    void this._model.refresh();
  }

  private _items(): RunningApp[] {
    const { status, ended } = this._model;
    const apps =
      ended === null && status !== null && status.host !== 'none'
        ? status.apps.filter(
            app => app.status !== 'Deleted' && app.status !== 'Failed'
          )
        : [];
    return apps.map(
      app =>
        new RunningApp(
          app,
          distinctTitle(app, apps, this._trans),
          status?.dry_run ?? false,
          this._trans,
          this._execute
        )
    );
  }

  private readonly _runningChanged = new Signal<this, void>(this);
  private _shown = '';
}

class RunningApp implements IRunningSessions.IRunningItem {
  constructor(
    private readonly _app: App,
    private readonly _title: string,
    private readonly _dryRun: boolean,
    private readonly _trans: TranslationBundle,
    private readonly _execute: Execute
  ) {
    if (this.canShutDown) {
      this.shutdown = () =>
        void this._execute(CommandIDs.shutDown, {
          appName: this._app.app_name
        });
    }
  }

  readonly className = 'jp-AutoShutdown-runningItem';
  /** Missing if it can't be shut down: then there is no button. */
  readonly shutdown?: () => void;

  get canShutDown(): boolean {
    return canAct(this._app) && !this._dryRun;
  }

  open(): void {
    void this._execute(CommandIDs.open);
  }

  icon(): typeof timerIcon {
    return timerIcon;
  }

  label(): string {
    return this._title;
  }

  labelTitle(): string {
    return [
      this._app.app_name,
      this._app.instance_type,
      appLabel(this._app, this._dryRun, this._trans)
    ].join('\n');
  }

  detail(): string {
    return this._app.instance_type;
  }
}
