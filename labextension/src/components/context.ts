/**
 * The context that every view needs beside its own data.
 */

import type { TranslationBundle } from '@jupyterlab/translation';

import type { IActions } from '../actions';
import type { Ticker } from '../clock';

export interface IContext {
  trans: TranslationBundle;
  ticker: Ticker;
  /** The server's clock, in milliseconds of Unix time. */
  now: () => number;
  actions: IActions;
  /** Show a document; missing if nothing can. */
  openDocument?: (path: string) => void;
}
