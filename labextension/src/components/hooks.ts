/**
 * Hooks for views that react to signals and time.
 */

import type { ISignal } from '@lumino/signaling';
import { useEffect, useReducer, useState } from 'react';

import type { Ticker } from '../clock';

/** Render again whenever a signal is emitted. */
export function useSignal<T>(signal: ISignal<T, void>): void {
  const [, render] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    const update = (): void => render();
    signal.connect(update);
    // It may have been emitted since this was rendered.
    update();
    return () => {
      signal.disconnect(update);
    };
  }, [signal]);
}

/** Render again whenever the result of `text` for the present time changes; returns it. */
export function useTicking(ticker: Ticker, text: () => string): string {
  const [, render] = useReducer((count: number) => count + 1, 0);
  const current = text();
  useEffect(() => {
    const subscription = ticker.subscribe(() => {
      if (text() !== current) {
        render();
      }
    });
    return () => subscription.dispose();
  });
  return current;
}

let ids = 0;

/** An id for labels to refer to. React's own `useId` came with 18; JupyterLab 3 has 17. */
export function useUniqueId(): string {
  return useState(() => `jp-AutoShutdown-${(ids += 1)}`)[0];
}
