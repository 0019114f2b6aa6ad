/**
 * Kernels, used like a browser: through the Jupyter server's REST API and websockets.
 */

import type { Page } from '@playwright/test';

import type { Studio } from './studio';

interface ISession {
  id: string;
  kernel: { id: string };
}

/** The name of the kernelspec of an image. */
export async function kernelspecOf(
  studio: Studio,
  image: string
): Promise<string> {
  const { kernelspecs } = await studio.jupyter<{ kernelspecs: object }>(
    'GET',
    'api/kernelspecs'
  );
  const names = Object.keys(kernelspecs);
  return names.find(name => name.endsWith(`/${image}`)) ?? '';
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
        const send = (type: string, content: object): string => {
          const id = crypto.randomUUID();
          const header = {
            msg_id: id,
            msg_type: type,
            session: 'ui-tests',
            username: '',
            date: new Date().toISOString(),
            version: '5.3'
          };
          socket.send(
            JSON.stringify({
              channel: 'shell',
              header,
              parent_header: {},
              metadata: {},
              content
            })
          );
          return id;
        };
        // Messages before the connection to the kernel is open get lost: repeat until it answers.
        let knocking = 0;
        let executing = '';
        socket.onerror = () => fail(new Error('no websocket'));
        socket.onopen = () => {
          knocking = window.setInterval(
            () => send('kernel_info_request', {}),
            300
          );
        };
        socket.onmessage = ({ data }) => {
          const message = JSON.parse(String(data)) as {
            header: { msg_type: string };
            parent_header: { msg_id?: string };
            content: { execution_state?: string };
          };
          if (message.header.msg_type === 'kernel_info_reply' && !executing) {
            window.clearInterval(knocking);
            executing = send('execute_request', {
              code: source,
              silent: false,
              store_history: false,
              user_expressions: {},
              allow_stdin: false,
              stop_on_error: true
            });
          } else if (
            message.parent_header.msg_id === executing &&
            message.content.execution_state === 'busy'
          ) {
            done();
          }
        };
      }),
    [url, code] as const
  );
}
