import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

/** Something that is wrong, or good to know, with what to do about it. */
export function Notice(props: {
  kind: 'error' | 'warning' | 'info';
  trans: TranslationBundle;
  /** What changes with the time. Screen readers would say all of it again at every change. */
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
