/**
 * Shared by the plugins: the picture of running apps, the display settings, the document saver.
 */

import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

import type { IEnd } from './ending';
import type { Costs, Event, Settings, SettingsChange, Status } from './openapi';

/**
 * The state of the connection to the server.
 *
 * `connecting`: no answer yet. `missing`: the server has no such extension. `forbidden`: it requires
 * a new login. `lost`: it does not answer; views show the last known status.
 */
export type Connection =
  'connecting' | 'connected' | 'lost' | 'forbidden' | 'missing';

/**
 * The picture that all views show, and a user's actions.
 *
 * It comes from the server alone; nothing is decided or computed here.
 */
export interface IAutoShutdown {
  /** Emitted when anything below has changed. */
  readonly stateChanged: ISignal<IAutoShutdown, void>;
  readonly connection: Connection;
  /** Why there is no connection, in the server's or the browser's words; else empty. */
  readonly connectionError: string;
  /** The last status, or null before the first. */
  readonly status: Status | null;
  /** The limits in force; null until somebody calls `watchDetails` or `loadSettings`. */
  readonly settings: Settings | null;
  /** The costs of the last 30 days by day; null until somebody calls `watchDetails`. */
  readonly costs: Costs | null;
  /** The latest events, newest first; null until somebody calls `watchDetails`. */
  readonly history: readonly Event[] | null;
  /** How this server ended, if it has: then there is no connection, and nothing runs. */
  readonly ended: IEnd | null;

  /** The server's clock, in milliseconds of Unix time. */
  now(): number;
  /** Ask the server again, at once. Never rejects; see `connection`. */
  refresh(): Promise<void>;
  /** Let the server check now, and show the result. Never rejects. */
  check(): Promise<void>;
  /** Whether somebody calls `watchDetails`, as the panel does while it is open. */
  readonly isWatched: boolean;
  /** A hidden page asks the server for nothing, except while `isNeeded` says so. */
  askWhileHidden(isNeeded: () => boolean): void;
  /** Keep limits, costs and history fresh until the result is disposed of. */
  watchDetails(): IDisposable;
  /** The limits in force, fetched if they are not known. Null if that fails. */
  loadSettings(): Promise<Settings | null>;
  /** Keep an app alive. Rejects with `RequestError`. */
  keepAlive(appName: string, until: KeepAliveEnd): Promise<void>;
  /** Take a keep-alive back. Rejects with `RequestError`. */
  endKeepAlive(appName: string): Promise<void>;
  /** Shut an app down, without asking. Rejects with `RequestError`. */
  shutDown(appName: string): Promise<void>;
  /** Change the user's limits. Rejects with `RequestError`. */
  changeSettings(change: SettingsChange): Promise<void>;
}

/** The end of a keep-alive: seconds from now, or a time. */
export type KeepAliveEnd = { seconds: number } | { until: Date };

export const IAutoShutdown = new Token<IAutoShutdown>(
  'sagemaker-autoshutdown:IAutoShutdown',
  'What runs in SageMaker Studio, what it costs and when it will be shut down.'
);

/** Where the panel is. */
export type Area = 'left' | 'right';

/** The settings in JupyterLab's Settings Editor: they change the display, never a shutdown. */
export interface IDisplaySettings {
  readonly changed: ISignal<IDisplaySettings, void>;
  readonly area: Area;
  readonly statusBar: boolean;
  readonly notifications: boolean;
  readonly saveBeforeShutdown: boolean;
}

export const IDisplaySettings = new Token<IDisplaySettings>(
  'sagemaker-autoshutdown:IDisplaySettings',
  'How the SageMaker AutoShutdown panel, status bar and warnings are shown.'
);

/** Saves unsaved documents if the server is about to end. */
export interface IDocumentSaver {
  /** Whether shutting down ends this server, and documents are saved before. */
  readonly isNeeded: boolean;
  /** Save all unsaved documents; returns the names of those that could not be saved. */
  saveAll(): Promise<string[]>;
  /** The names of the unsaved documents. */
  unsaved(): string[];
  /** Whether documents were saved ahead of a deadline. */
  readonly hasSaved: boolean;
}

export const IDocumentSaver = new Token<IDocumentSaver>(
  'sagemaker-autoshutdown:IDocumentSaver',
  'Saves unsaved documents before the server ends with its app.'
);
