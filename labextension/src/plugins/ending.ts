import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { Dialog, Notification } from '@jupyterlab/apputils';
import { ITranslator } from '@jupyterlab/translation';

import { studioUrl } from '../ending';
import { IAutoShutdown, IDocumentSaver } from '../tokens';
import { documentsText, endText } from '../wording';
import { load } from './shared';

export const endingPlugin: JupyterFrontEndPlugin<void> = {
  id: 'sagemaker-autoshutdown:ending',
  description: 'Says that this server was shut down.',
  autoStart: true,
  requires: [IAutoShutdown],
  optional: [ITranslator, IDocumentSaver],
  activate: (
    app: JupyterFrontEnd,
    model: IAutoShutdown,
    translator: ITranslator | null,
    saver: IDocumentSaver | null
  ): void => {
    const trans = load(translator);
    // JupyterLab's title for its dialog about a lost connection.
    const lost = translator?.load('jupyterlab').__('Server Connection Error');
    const closeError = (dialog: Dialog<unknown>): void => {
      const title = dialog.node.querySelector('.jp-Dialog-header');
      if (
        (title?.textContent ?? '').trim() ===
        (lost ?? 'Server Connection Error')
      ) {
        dialog.reject();
      }
    };
    let shown: string | null = null;
    const update = (): void => {
      const { ended, status } = model;
      if (ended === null || status === null) {
        if (shown !== null) {
          Notification.dismiss(shown);
          shown = null;
        }
        return;
      }
      Dialog.tracker.forEach(closeError);
      if (shown === null) {
        const url = studioUrl(status, window.location);
        shown = Notification.info(
          [
            endText(ended, model.now(), trans),
            documentsText(saver, trans)
          ].join(' '),
          {
            autoClose: false,
            ...(url !== null && {
              actions: [
                {
                  label: trans.__('Open in Studio'),
                  displayType: 'link' as const,
                  callback: () => window.open(url, '_blank', 'noreferrer')
                }
              ]
            })
          }
        );
      }
    };
    model.stateChanged.connect(update);
    app.serviceManager.connectionFailure.connect(() => {
      // The server may have ended: then the status says so, and the dialog is closed.
      if (model.ended === null && !document.hidden) {
        void model.refresh();
      }
    });
    Dialog.tracker.widgetAdded.connect((_, dialog) => {
      if (model.ended !== null) {
        // The dialog is not shown yet; once it is, its promise can be rejected.
        requestAnimationFrame(() => closeError(dialog));
      }
    });
  }
};
