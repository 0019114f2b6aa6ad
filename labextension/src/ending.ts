/**
 * The end of a server that ends with its app: a space's or a notebook instance's. The last known
 * status distinguishes it from a lost connection.
 */

import type { App, Reason, Status } from './openapi';
import { endsWithApp } from './wording';

/** How long before a deadline the server must have answered, so that its silence afterwards means
 * that the deadline was met. Milliseconds: two of the panel's own intervals. */
const HEARD_WITHIN = 150_000;

/** Why and when this server ended. */
export interface IEnd {
  /** Unix time in milliseconds, by the server's clock. */
  readonly at: number;
  readonly reason: Reason;
  /** How long it had been idle, in seconds; null if that is not why it ended. */
  readonly idleSeconds: number | null;
}

/** The part of a status to remember for the time when there is no answer any more. */
export function endFrom(status: Status, before: IEnd | null): IEnd | null {
  if (!endsWithApp(status)) {
    return null;
  }
  const going = status.apps.find(app => app.state === 'shutting_down');
  if (going !== undefined) {
    const at = Date.parse(going.since ?? status.now);
    if (before !== null && going.idle_since === null) {
      // SageMaker is deleting it: its earlier state is known from an earlier status.
      return before;
    }
    return { at, reason: going.reason, idleSeconds: idleAt(going, at) };
  }
  const warned = status.apps.find(
    app => app.state === 'warned' && app.shutdown_at !== null
  );
  if (warned?.shutdown_at && !status.dry_run) {
    const at = Date.parse(warned.shutdown_at);
    return { at, reason: warned.reason, idleSeconds: idleAt(warned, at) };
  }
  return null;
}

/** Whether a server that does not answer has met its end. */
export function hasEnded(
  end: IEnd | null,
  status: Status | null,
  now: number
): boolean {
  if (end === null || status === null) {
    return false;
  }
  const isGoing = status.apps.some(app => app.state === 'shutting_down');
  return (
    isGoing ||
    (now >= end.at && end.at - Date.parse(status.now) <= HEARD_WITHIN)
  );
}

/** Where to open a space again: Studio's own page, on the host beside this page's. Null if
 * Studio does not serve this page, so that its address is not known. */
export function studioUrl(
  status: Status,
  location: { hostname: string }
): string | null {
  // A space's page: ID.studio.REGION.sagemaker.aws; Studio's: studio-DOMAIN.studio.REGION...
  const host = /^[^.]+(\.studio\.[a-z0-9-]+\.sagemaker\.(?:aws|com\.cn))$/.exec(
    location.hostname
  );
  return host?.[1] !== undefined &&
    status.host === 'space' &&
    /^d-[a-z0-9]+$/.test(status.domain_id)
    ? `https://studio-${status.domain_id}${host[1]}/jupyterlab`
    : null;
}

function idleAt(app: App, at: number): number | null {
  return app.idle_since === null || app.reason === 'user_request'
    ? null
    : Math.max(0, (at - Date.parse(app.idle_since)) / 1000);
}
