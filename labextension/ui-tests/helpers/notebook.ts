/**
 * Kernels as a browser uses them: through the Jupyter server's REST API and websockets.
 */

import type { Page } from '@playwright/test';

import type { Studio } from './studio';

interface ISession {
  id: string;
  kernel: { id: string };
}

/** Start a session for a notebook, in the app that `labels` of the kernelspec stand for. */
export async function startSession(
  studio: Studio,
  path: string,
  kernelspec: string
): Promise<ISession> {
  return studio.jupyter<ISession>('POST', 'api/sessions', {
    path,
    name: path,
    type: 'notebook',
    kernel: { name: kernelspec }
  });
}

/** Run code in a kernel, and return once it is running. */
export async function run(
  page: Page,
  studio: Studio,
  kernelId: string,
  code: string
): Promise<void> {
  const url = studio
    .url(`api/kernels/${kernelId}/channels`)
    .replace(/^http/, 'ws');
  await page.evaluate(
    ([address, source]) =>
      new Promise<void>((done, fail) => {
        const socket = new WebSocket(address);
        socket.onerror = () => fail(new Error('no websocket'));
        socket.onmessage = ({ data }) => {
          const message = JSON.parse(String(data)) as {
            content: { execution_state?: string };
          };
          if (message.content.execution_state === 'busy') {
            done();
          }
        };
        socket.onopen = () =>
          socket.send(
            JSON.stringify({
              channel: 'shell',
              header: {
                msg_id: crypto.randomUUID(),
                msg_type: 'execute_request',
                session: crypto.randomUUID(),
                username: '',
                date: new Date().toISOString(),
                version: '5.3'
              },
              parent_header: {},
              metadata: {},
              content: {
                code: source,
                silent: false,
                store_history: false,
                user_expressions: {},
                allow_stdin: false,
                stop_on_error: true
              }
            })
          );
      }),
    [url, code] as const
  );
}
