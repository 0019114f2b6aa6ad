/**
 * Shared by several plugins and provided by none.
 */

import {
  nullTranslator,
  type ITranslator,
  type TranslationBundle
} from '@jupyterlab/translation';

import { Ticker } from '../clock';

/** One clock for all views, so that they count in step. */
export const ticker = new Ticker();

export function load(translator: ITranslator | null): TranslationBundle {
  return (translator ?? nullTranslator).load('sagemaker_autoshutdown');
}
