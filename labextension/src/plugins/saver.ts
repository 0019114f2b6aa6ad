import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { toArray } from '@lumino/algorithm';

import { DocumentSaver } from '../saver';
import { IAutoShutdown, IDisplaySettings, IDocumentSaver } from '../tokens';

export const saverPlugin: JupyterFrontEndPlugin<IDocumentSaver> = {
  id: 'sagemaker-autoshutdown:saver',
  description:
    'Saves unsaved documents before a shutdown that ends this server.',
  autoStart: true,
  requires: [IAutoShutdown, IDisplaySettings, IDocumentManager],
  provides: IDocumentSaver,
  activate: (
    app: JupyterFrontEnd,
    model: IAutoShutdown,
    display: IDisplaySettings,
    documents: IDocumentManager
  ): IDocumentSaver => {
    const saver = new DocumentSaver({
      model,
      display,
      documents,
      // An iterator of Lumino's own in JupyterLab 3; `toArray` takes what its version gives.
      // eslint-disable-next-line @typescript-eslint/no-deprecated
      widgets: () => toArray(app.shell.widgets('main'))
    });
    saver.watch();
    return saver;
  }
};
