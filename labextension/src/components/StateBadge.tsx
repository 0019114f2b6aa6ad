import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { App, State } from '../openapi';
import { appLabel } from '../wording';

/** One shape for each state, so that colour alone never distinguishes them. */
const SHAPES: Record<State, string> = {
  busy: 'M4 3l9 5-9 5z',
  active: 'M8 3a5 5 0 1 1 0 10A5 5 0 0 1 8 3z',
  idle: 'M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zm0 2a4 4 0 1 0 0 8 4 4 0 0 0 0-8z',
  warned: 'M8 1l7.5 13.5H.5zM7 6v4h2V6zm0 5v2h2v-2z',
  kept: 'M4 7V5a4 4 0 0 1 8 0v2h1v7H3V7zm2 0h4V5a2 2 0 0 0-4 0z',
  shutting_down:
    'M7 1h2v7H7zM4.5 3.5l1 1.7a4.5 4.5 0 1 0 5 0l1-1.7a6.5 6.5 0 1 1-7 0z',
  failed:
    'M3.4 2L8 6.6 12.6 2 14 3.4 9.4 8l4.6 4.6-1.4 1.4L8 9.4 3.4 14 2 12.6 6.6 8 2 3.4z',
  unknown:
    'M5 6a3 3 0 1 1 4.2 2.7c-.2.1-.2.2-.2.4V10H7V9c0-1 .5-1.7 1.3-2.1A1 1 0 1 0 7 6zm2 6h2v2H7z'
};

/** An app's state as shape and word. */
export function StateBadge(props: {
  app: App;
  dryRun: boolean;
  trans: TranslationBundle;
}): React.JSX.Element {
  const { app, dryRun, trans } = props;
  // The ring of an idle app without colour: it is not in use yet.
  const state = app.reason === 'app_starting' ? 'idle' : app.state;
  return (
    <span className="jp-AutoShutdown-state" data-state={state}>
      <svg viewBox="0 0 16 16" aria-hidden="true" focusable="false">
        <path
          fillRule="evenodd"
          d={(SHAPES as Partial<typeof SHAPES>)[state] ?? SHAPES.unknown}
        />
      </svg>
      {appLabel(app, dryRun, trans)}
    </span>
  );
}
