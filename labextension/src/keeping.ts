/**
 * What "Keep 1 h" and "+1 h" mean, everywhere: an hour more than there is, as far as is allowed.
 */

import type { App } from './openapi';
import { canAct } from './wording';

/** What one press adds, in seconds. */
export const KEEP_SECONDS = 3600;
/** An end that moves by less is none to offer, in seconds. */
const LEAST_GAIN = 60;

/**
 * Until when one press keeps an app, in milliseconds of Unix time; null if it can't be longer.
 *
 * From now on, or from when it would go anyway if that is later: a press always has an effect.
 * `longest` is what the administrator allows in seconds; null while it is not known.
 */
export function keptAfterPress(
  app: App,
  now: number,
  longest: number | null
): number | null {
  const goes = Math.max(now, endOf(app) ?? now);
  const most = longest === null ? Infinity : now + longest * 1000;
  const until = Math.min(goes + KEEP_SECONDS * 1000, most);
  return until - goes < LEAST_GAIN * 1000 ? null : until;
}

/** Until when an app is up if nothing happens: its deadline, which is never before the end of its
 * keep-alive. Null for one that has none, as it is busy. */
export function endOf(app: App): number | null {
  const ends = [app.shutdown_at, app.kept_until]
    .filter(end => end !== null)
    .map(end => Date.parse(end));
  return ends.length === 0 ? null : Math.max(...ends);
}

/** When a fleet shuts the app down that marked it, in milliseconds of Unix time. Null without a mark,
 * and for what is kept: that ends the mark where the fleet sees it. */
export function markedFor(app: App): number | null {
  return app.mark !== null && app.kept_until === null && canAct(app)
    ? Date.parse(app.mark.shutdown_at)
    : null;
}
