import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import type { ServiceManager } from '@jupyterlab/services';

import { Client } from '../client';
import { AutoShutdownModel } from '../model';
import { IAutoShutdown } from '../tokens';
import { ticker } from './shared';

export const modelPlugin: JupyterFrontEndPlugin<IAutoShutdown> = {
  id: 'sagemaker-autoshutdown:model',
  description:
    'Knows what runs in SageMaker Studio, what it costs and when it will be shut down.',
  autoStart: true,
  provides: IAutoShutdown,
  activate: (app: JupyterFrontEnd): IAutoShutdown => {
    const { serverSettings } = app.serviceManager;
    // JupyterLab 3 has no events.
    const { events } = app.serviceManager as Partial<ServiceManager.IManager>;
    const model = new AutoShutdownModel({
      client: new Client(serverSettings),
      ticker,
      events: events?.stream
    });
    // The extension must not delay the start of JupyterLab.
    void app.restored.then(() => model.start());
    return model;
  }
};
