/**
 * Against a real HTTP server.
 *
 * @jest-environment node
 */

import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { ServerConnection } from '@jupyterlab/services';

import { Client, RequestError } from './client';
import { app } from './testing/fixtures';

const API = '/jupyter/default/sagemaker-autoshutdown/api/';

let server: Server;
let client: Client;
let requests: { request: IncomingMessage; body: string }[];
/** The answer; null means none at all. */
let answer: {
  status: number;
  body: string;
  headers?: Record<string, string>;
} | null;

beforeAll(done => {
  server = createServer((request, response) => {
    let body = '';
    request.on('data', data => (body += String(data)));
    request.on('end', () => {
      requests.push({ request, body });
      if (answer !== null) {
        response.writeHead(answer.status, answer.headers);
        response.end(answer.body);
      }
    });
  });
  server.listen(0, '127.0.0.1', done);
});

afterAll(done => {
  server.closeAllConnections();
  server.close(done);
});

beforeEach(() => {
  requests = [];
  answer = { status: 200, body: JSON.stringify(app()) };
  const { port } = server.address() as AddressInfo;
  client = new Client(
    ServerConnection.makeSettings({
      baseUrl: `http://127.0.0.1:${port}/jupyter/default/`,
      token: 'secret'
    })
  );
});

/** The last request: its method, and its path below our API. */
function asked(): [string | undefined, string] {
  const { request } = requests[requests.length - 1] ?? {};
  const url = request?.url ?? '';
  expect(url.startsWith(API)).toBe(true);
  // JupyterLab adds the time, to bypass caches.
  return [request?.method, url.slice(API.length).replace(/[?&]\d+$/, '')];
}

test('each call goes where the description says', async () => {
  const calls: [() => Promise<unknown>, string, string][] = [
    [() => client.status(), 'GET', 'status'],
    [() => client.settings(), 'GET', 'settings'],
    [() => client.changeSettings({}), 'PUT', 'settings'],
    [() => client.shutDown('a'), 'DELETE', 'apps/a'],
    [() => client.keepAlive('a', { seconds: 1 }), 'PUT', 'apps/a/keep-alive'],
    [() => client.endKeepAlive('a'), 'DELETE', 'apps/a/keep-alive'],
    [
      () => client.costs(new Date('2026-08-03T00:00:00Z')),
      'GET',
      'costs?from=2026-08-03T00%3A00%3A00.000Z&group_by=day'
    ]
  ];
  for (const [call, method, path] of calls) {
    await call();
    expect(asked()).toEqual([method, path]);
  }
});

test('an app of any name is asked for by that name', async () => {
  await client.shutDown('../a b/%2F?');
  expect(asked()).toEqual(['DELETE', 'apps/..%2Fa%20b%2F%252F%3F']);
});

test('a time is sent in UTC', async () => {
  const until = new Date('2026-09-01T20:00:00+02:00');
  await client.keepAlive('a', { until });
  expect(requests[0]?.body).toBe('{"until":"2026-09-01T18:00:00.000Z"}');
});

test("the server's own settings are used, its token for one", async () => {
  await client.status();
  expect(requests[0]?.request.headers.authorization).toBe('token secret');
});

test('a refusal says what is allowed', async () => {
  const errors = { idle_timeout: 'must be from 600 to 14400' };
  const body = JSON.stringify({ message: 'No.', reason: null, errors });
  answer = { status: 400, body };
  const refused = client.changeSettings({ idle_timeout: 1 });
  await expect(refused).rejects.toMatchObject({
    status: 400,
    message: 'No.',
    errors
  });
});

test.each([
  [502, '<html>Bad gateway</html>', 502, '502 Bad Gateway'],
  [200, 'null', 0, '200 OK'],
  [200, 'It works!', 0, '200 OK']
])(
  'an answer that is none of ours is an error: %i %s',
  async (code, body, status, message) => {
    answer = { status: code, body };
    const failed: unknown = await client.status().catch((e: unknown) => e);
    expect(failed).toBeInstanceOf(RequestError);
    expect(failed).toMatchObject({ status, message });
  }
);

describe('a login that has ended asks for a new one', () => {
  test.each([
    ['by a page of its own', 200, '<!doctype html><p>Log in</p>', {}],
    ['by a way elsewhere', 302, '', { location: 'https://login.test/' }]
  ])('%s', async (_, status, body, headers) => {
    answer = { status, body, headers };
    await expect(client.status()).rejects.toMatchObject({
      name: 'RequestError',
      status: 403
    });
    expect(requests).toHaveLength(1);
  });

  test('as browsers hide where a redirect leads', async () => {
    const hidden = { type: 'opaqueredirect', status: 0, ok: false };
    const settings = ServerConnection.makeSettings({
      baseUrl: 'http://127.0.0.1/',
      fetch: () => Promise.resolve(hidden as Response)
    });
    const asked = new Client(settings).status();
    await expect(asked).rejects.toMatchObject({ status: 403 });
  });
});

test('a server that is not there is an error without a status', async () => {
  const settings = ServerConnection.makeSettings({
    baseUrl: 'http://127.0.0.1:1/'
  });
  const failed: unknown = await new Client(settings)
    .status()
    .catch((e: unknown) => e);
  expect(failed).toMatchObject({ name: 'RequestError', status: 0 });
});

test('a request that hangs is given up, so that the next one can be made', async () => {
  jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate'] });
  answer = null;
  const refused = expect(client.status()).rejects.toMatchObject({ status: 0 });
  await jest.advanceTimersByTimeAsync(30_000);
  await refused;
  jest.useRealTimers();
});
