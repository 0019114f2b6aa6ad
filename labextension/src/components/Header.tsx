import { refreshIcon, settingsIcon } from '@jupyterlab/ui-components';
import type { LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { infoIcon } from '../icon';
import type { IContext } from './context';

/** The actions of the header's buttons. */
export interface IHeaderActions {
  refresh: () => Promise<void>;
  /** Missing if there is no Settings Editor. */
  openSettings?: () => void;
  help: () => void;
}

/** The panel's title, and a toolbar like those of JupyterLab's own panels. */
export function Header(props: {
  context: Pick<IContext, 'trans'>;
  actions: IHeaderActions;
}): React.JSX.Element {
  const { context, actions } = props;
  const { trans } = context;
  const [isBusy, setBusy] = React.useState(false);
  const refresh = (): void => {
    if (!isBusy) {
      setBusy(true);
      void actions.refresh().finally(() => setBusy(false));
    }
  };
  return (
    <div className="jp-AutoShutdown-header">
      <h2 tabIndex={-1}>{trans.__('SageMaker AutoShutdown')}</h2>
      <div role="group" aria-label={trans.__('Panel')}>
        <IconButton
          icon={refreshIcon}
          label={trans.__('Check now')}
          isBusy={isBusy}
          onClick={refresh}
        />
        {actions.openSettings && (
          <IconButton
            icon={settingsIcon}
            label={trans.__('Display settings')}
            onClick={actions.openSettings}
          />
        )}
        <IconButton
          icon={infoIcon}
          label={trans.__('How it works')}
          onClick={actions.help}
        />
      </div>
    </div>
  );
}

function IconButton(props: {
  icon: LabIcon;
  label: string;
  isBusy?: boolean;
  onClick: () => void;
}): React.JSX.Element {
  const { icon, label, isBusy, onClick } = props;
  return (
    <button
      type="button"
      className="jp-ToolbarButtonComponent jp-mod-minimal jp-Button jp-AutoShutdown-iconButton"
      title={label}
      aria-label={label}
      aria-disabled={isBusy}
      onClick={onClick}
    >
      <icon.react tag="span" height="16px" width="16px" />
    </button>
  );
}
