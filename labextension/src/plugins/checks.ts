import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { toArray } from '@lumino/algorithm';

import { IAutoShutdown } from '../tokens';

/** The shortest time between two requested checks of the server; milliseconds. */
const LEAST_INTERVAL = 3000;

export const checksPlugin: JupyterFrontEndPlugin<void> = {
  id: 'sagemaker-autoshutdown:checks',
  description: 'Checks at once after notebooks or terminals open or close.',
  autoStart: true,
  requires: [IAutoShutdown],
  activate: (app: JupyterFrontEnd, model: IAutoShutdown): void => {
    const { sessions, terminals } = app.serviceManager;
    /** Open kernels and terminals, whatever their state. */
    const running = (): string =>
      [
        // Iterators of Lumino's own in JupyterLab 3; `toArray` takes what its version gives.
        // eslint-disable-next-line @typescript-eslint/no-deprecated
        ...toArray(sessions.running()).map(
          ({ id, kernel }) => `${id} ${kernel?.id ?? ''}`
        ),
        // eslint-disable-next-line @typescript-eslint/no-deprecated
        ...toArray(terminals.running()).map(({ name }) => name)
      ]
        .sort()
        .join();
    let known: string | null = null;
    let lastAt = -Infinity;
    let waiting = 0;
    const check = (): void => {
      waiting = 0;
      if (model.isWatched && !document.hidden) {
        lastAt = Date.now();
        void model.check();
      }
    };
    const onChanged = (): void => {
      const before = known;
      known = running();
      if (before === null || before === known || waiting !== 0) {
        return;
      }
      const wait = Math.max(0, lastAt + LEAST_INTERVAL - Date.now());
      waiting = window.setTimeout(check, wait);
    };
    void app.restored.then(() => {
      known = running();
      sessions.runningChanged.connect(onChanged);
      terminals.runningChanged.connect(onChanged);
    });
  }
};
