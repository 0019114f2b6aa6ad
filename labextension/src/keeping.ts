/**
 * The meaning of "Keep 1 h" and "+1 h", everywhere: an hour more than now, as far as allowed.
 */

import type { App } from './openapi';
import { canAct } from './wording';

/** The time that one press adds, in seconds. */
export const KEEP_SECONDS = 3600;
/** A smaller change of the end is not offered, in seconds. */
const LEAST_GAIN = 60;

/**
 * Until when one press keeps an app, in milliseconds of Unix time; null if it can't be longer.
 *
 * Counts from now, or from its deadline if that is later: a press always has an effect.
 * `longest` is the administrator's limit in seconds; null until it is known.
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

/** How long an app stays up if nothing happens: until its deadline, never before the end of its
 * keep-alive. Null for a busy app, which has no deadline. */
export function endOf(app: App): number | null {
  const ends = [app.shutdown_at, app.kept_until]
    .filter(end => end !== null)
    .map(end => Date.parse(end));
  return ends.length === 0 ? null : Math.max(...ends);
}

/** When the fleet that marked an app shuts it down, in milliseconds of Unix time. Null without a mark,
 * and for a kept app: a keep-alive ends the mark once the fleet sees it. */
export function markedFor(app: App): number | null {
  return app.mark !== null && app.kept_until === null && canAct(app)
    ? Date.parse(app.mark.shutdown_at)
    : null;
}
