/** Parts of a browser that jsdom lacks. */
import '@testing-library/jest-dom';
import { TextDecoder, TextEncoder } from 'node:util';

Object.assign(globalThis, { TextDecoder, TextEncoder });
if (typeof window !== 'undefined') {
  Object.assign(navigator, { clipboard: {} });
  Object.assign(window, {
    DragEvent: class extends MouseEvent {},
    matchMedia: (media: string) =>
      Object.assign(new EventTarget(), {
        media,
        matches: false,
        addListener: () => undefined,
        removeListener: () => undefined
      }),
    requestIdleCallback: (callback: () => void) => window.setTimeout(callback)
  });
}
