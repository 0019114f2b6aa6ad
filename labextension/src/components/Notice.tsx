import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

/** A problem or a note, with its remedy. */
export function Notice(props: {
  kind: 'error' | 'warning' | 'info';
  trans: TranslationBundle;
  /** Text that changes with time. Screen readers would repeat all of it at every change. */
  aside?: React.ReactNode;
  children: React.ReactNode;
}): React.JSX.Element {
  const { kind, trans, aside, children } = props;
  const labels = {
    error: trans.__('Error:'),
    warning: trans.__('Warning:'),
    info: trans.__('Note:')
  };
  return (
    <div className="jp-AutoShutdown-notice" data-kind={kind}>
      <div role={kind === 'error' ? 'alert' : undefined}>
        <strong>{labels[kind]}</strong> {children}
      </div>
      {aside && <div className="jp-AutoShutdown-hint">{aside}</div>}
    </div>
  );
}
