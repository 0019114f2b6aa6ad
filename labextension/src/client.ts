/**
 * The REST API as calls: its address, its errors as `RequestError`, and a time limit.
 */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type {
  App,
  Check,
  Costs,
  Error as ApiError,
  History,
  Settings,
  SettingsChange,
  Status
} from './openapi';
import type { KeepAliveEnd } from './tokens';

const API = 'sagemaker-autoshutdown/api';
/** A connection that hangs must not keep the next request from being made. */
const TIMEOUT_MS = 30_000;
const FORBIDDEN = 403;

/** Why a request failed; `status` is 0 if there was no answer. */
export class RequestError extends Error {
  constructor(
    readonly status: number,
    message: string,
    /** The allowed values, by name of the field. */
    readonly errors: Readonly<Record<string, string>> = {}
  ) {
    super(message);
    this.name = 'RequestError';
  }
}

/** The REST API; every call rejects with `RequestError`. */
export interface IClient {
  status(): Promise<Status>;
  /** Ask for a check now; returns in how many seconds it begins. */
  check(): Promise<Check>;
  /** Report that this page is closed; nobody waits for the answer. */
  pageClosed(): void;
  settings(): Promise<Settings>;
  changeSettings(change: SettingsChange): Promise<Settings>;
  keepAlive(appName: string, end: KeepAliveEnd): Promise<App>;
  endKeepAlive(appName: string): Promise<App>;
  shutDown(appName: string): Promise<App>;
  /** By day in UTC, from `from` on. */
  costs(from: Date): Promise<Costs>;
  /** The last `limit` events, newest first. */
  history(limit: number): Promise<History>;
}

export class Client implements IClient {
  constructor(private readonly _settings: ServerConnection.ISettings) {}

  status(): Promise<Status> {
    return this._request('GET', 'status');
  }

  check(): Promise<Check> {
    return this._request('POST', 'check');
  }

  pageClosed(): void {
    // The page is gone before the answer comes.
    ServerConnection.makeRequest(
      this._url('page-closed'),
      { method: 'POST', keepalive: true },
      this._settings
    ).catch(() => undefined);
  }

  settings(): Promise<Settings> {
    return this._request('GET', 'settings');
  }

  changeSettings(change: SettingsChange): Promise<Settings> {
    return this._request('PUT', 'settings', change);
  }

  keepAlive(appName: string, end: KeepAliveEnd): Promise<App> {
    return this._request('PUT', keepAlivePath(appName), end);
  }

  endKeepAlive(appName: string): Promise<App> {
    return this._request('DELETE', keepAlivePath(appName));
  }

  shutDown(appName: string): Promise<App> {
    return this._request('DELETE', appPath(appName));
  }

  costs(from: Date): Promise<Costs> {
    const query = { from: from.toISOString(), group_by: 'day' };
    return this._request('GET', `costs${URLExt.objectToQueryString(query)}`);
  }

  history(limit: number): Promise<History> {
    const query = URLExt.objectToQueryString({ limit });
    return this._request('GET', `history${query}`);
  }

  private _url(path: string): string {
    // Not URLExt.join for the last part: it would decode an app's name.
    return `${URLExt.join(this._settings.baseUrl, API)}/${path}`;
  }

  private async _request<T>(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: object
  ): Promise<T> {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), TIMEOUT_MS);
    try {
      const response = await ServerConnection.makeRequest(
        this._url(path),
        {
          method,
          signal: abort.signal,
          // Our own answers never redirect; a proxy that requires a new login does.
          redirect: 'manual',
          ...(body && { body: JSON.stringify(body) })
        },
        this._settings
      );
      return await answer<T>(response);
    } catch (error) {
      throw error instanceof RequestError
        ? error
        : new RequestError(
            0,
            error instanceof Error ? error.message : String(error)
          );
    } finally {
      clearTimeout(timer);
    }
  }
}

function appPath(appName: string): string {
  return `apps/${encodeURIComponent(appName)}`;
}

function keepAlivePath(appName: string): string {
  return `${appPath(appName)}/keep-alive`;
}

/** The JSON of a good answer. A proxy's login page is not one, whatever its status. */
async function answer<T>(response: Response): Promise<T> {
  if (isRedirect(response)) {
    throw new RequestError(FORBIDDEN, 'a login page was returned');
  }
  const text = await response.text();
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    data = undefined;
  }
  if (response.ok && typeof data === 'object' && data !== null) {
    return data as T;
  }
  if (response.ok && text.trimStart().startsWith('<')) {
    throw new RequestError(FORBIDDEN, 'a web page was returned');
  }
  const error = (data ?? {}) as Partial<ApiError>;
  throw new RequestError(
    response.ok ? 0 : response.status,
    error.message ?? `${response.status} ${response.statusText}`.trim(),
    error.errors
  );
}

/** Browsers hide a redirect's status and target. */
function isRedirect(response: Response): boolean {
  return (
    response.type === 'opaqueredirect' ||
    (response.status >= 300 && response.status < 400)
  );
}
