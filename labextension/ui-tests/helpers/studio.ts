/**
 * A local Studio as a process: real Jupyter server, real kernels, the SageMaker API over HTTP.
 *
 * Two variables choose the interpreters: `STUDIO_PYTHON` runs the Studio (by default the repository's own
 * environment), `SERVER_PYTHON` the Jupyter server in it (by default the same), which is how
 * JupyterLab 3.6 is tested.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';

export const ROOT = resolve(__dirname, '../../..');
export const STUDIO_PYTHON =
  process.env.STUDIO_PYTHON || join(ROOT, '.venv/bin/python');
const SERVER_PYTHON = process.env.SERVER_PYTHON || STUDIO_PYTHON;
const START_LIMIT_MS = 240_000;

export interface IStudioOptions {
  host?: 'classic' | 'space' | 'notebook-instance';
  /** KernelGateway apps, `IMAGE,INSTANCE_TYPE`. */
  apps?: string[];
  /** How long the apps look to have been up when the Studio starts, in seconds. */
  age?: number;
  /** Traits of `SageMakerAutoShutdown`. */
  traits?: Record<string, unknown>;
  /** More arguments for the Jupyter server. */
  serverArguments?: string[];
}

export interface IFault {
  operation: string;
  code?: string;
  status?: number;
  times?: number;
  /** No answer until the fault is switched off. */
  hang?: boolean;
  message?: string;
}

interface IReady {
  browser_url: string;
  control_url: string;
  control_token: string;
}

interface ICall {
  operation: string;
  app_name: string | null;
}

export class Studio {
  static async start(options: IStudioOptions = {}): Promise<Studio> {
    const folder = mkdtempSync(join(tmpdir(), 'studio-ui-'));
    const readyFile = join(folder, 'ready.json');
    // As an administrator sets them, because not every trait can be given on a command line.
    const configFile = join(folder, 'admin_config.json');
    const config = {
      SageMakerAutoShutdown: options.traits ?? {},
      // No toasts that depend on the network and on today's newest release.
      LabApp: {
        news_url: null,
        check_for_updates_class: 'jupyterlab.NeverCheckForUpdate'
      }
    };
    writeFileSync(configFile, JSON.stringify(config));
    const child = spawn(
      STUDIO_PYTHON,
      [
        '-m',
        'tests.localstudio',
        `--host=${options.host ?? 'classic'}`,
        ...(options.apps ?? []).map(app => `--app=${app}`),
        `--work-dir=${join(folder, 'work')}`,
        `--ready-file=${readyFile}`,
        `--python=${SERVER_PYTHON}`,
        `--age=${String(options.age ?? 0)}`,
        '--',
        `--config=${configFile}`,
        ...(options.serverArguments ?? [])
      ],
      {
        cwd: folder,
        env: { ...process.env, PYTHONPATH: ROOT },
        stdio: ['ignore', 'pipe', 'pipe']
      }
    );
    let output = '';
    child.stdout.on('data', data => (output += String(data)));
    child.stderr.on('data', data => (output += String(data)));
    const end = Date.now() + START_LIMIT_MS;
    while (!existsSync(readyFile)) {
      if (child.exitCode !== null || Date.now() > end) {
        child.kill('SIGTERM');
        throw new Error(`The local Studio did not start:\n${output}`);
      }
      await pause(100);
    }
    const ready = JSON.parse(readFileSync(readyFile, 'utf-8')) as IReady;
    return new Studio(child, folder, ready);
  }

  private constructor(
    private readonly _child: ChildProcess,
    private readonly _folder: string,
    private readonly _ready: IReady
  ) {}

  /** JupyterLab's address, with the token. */
  get labUrl(): string {
    return this._ready.browser_url;
  }

  /** The address of something on the Jupyter server, with the token. */
  url(path: string): string {
    const url = new URL(this.labUrl);
    url.pathname = url.pathname.replace(/lab$/, path);
    return url.toString();
  }

  async stop(): Promise<void> {
    const ended = new Promise(done => this._child.once('exit', done));
    this._child.kill('SIGTERM');
    await ended;
    rmSync(this._folder, { recursive: true, force: true });
  }

  /** Switch a fault on, until `faultsOff`. */
  async fault(fault: IFault): Promise<void> {
    await this._control('POST', 'faults', fault);
  }

  async faultsOff(): Promise<void> {
    await this._control('DELETE', 'faults');
  }

  /** End the Jupyter server like a crash. */
  async killServer(): Promise<void> {
    await this._control('POST', 'fail', { app_name: 'default' });
  }

  /** Run it again: with the same address, token and files. */
  async startServer(): Promise<void> {
    await this._control('POST', 'restart', { app_name: 'default' });
  }

  /** The files of that name in all homes. */
  find(name: string): string[] {
    const homes = join(this._folder, 'work');
    return readdirSync(homes, { recursive: true, encoding: 'utf-8' })
      .filter(path => basename(path) === name)
      .map(path => join(homes, path));
  }

  /** The requests to SageMaker. */
  async calls(operation: string): Promise<ICall[]> {
    const path = `journal?operation=${operation}`;
    return (await this._control('GET', path)) as ICall[];
  }

  /** A request to the Jupyter server; returns its JSON. */
  async jupyter<T>(method: string, path: string, body?: object): Promise<T> {
    const response = await fetch(this.url(path), {
      method,
      ...(body && { body: JSON.stringify(body) })
    });
    if (!response.ok) {
      throw new Error(`${method} ${path}: ${String(response.status)}`);
    }
    const text = await response.text();
    return (text === '' ? null : JSON.parse(text)) as T;
  }

  private async _control(
    method: string,
    path: string,
    body?: object
  ): Promise<unknown> {
    const response = await fetch(`${this._ready.control_url}${path}`, {
      method,
      headers: { Authorization: `Bearer ${this._ready.control_token}` },
      ...(body && { body: JSON.stringify(body) })
    });
    const text = await response.text();
    if (!response.ok) {
      throw new Error(`${method} ${path}: ${text}`);
    }
    return text === '' ? null : JSON.parse(text);
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise(done => setTimeout(done, milliseconds));
}
