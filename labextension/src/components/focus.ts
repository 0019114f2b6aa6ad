/**
 * Where the focus goes when its element disappears: a button whose work is done, an app that is
 * gone. Without that, a keyboard user would have to start again from the top of the page.
 */

import { useEffect, useRef, type RefObject } from 'react';

/** Elements that can take the focus; titles only by code. */
const PLACES =
  '[tabindex="-1"], button, input:not(:disabled), select:not(:disabled), summary';

/** Keeps the focus inside an element: it moves to the first place in the remaining surroundings. */
export function useKeptFocus<T extends HTMLElement>(): RefObject<T> {
  const ref = useRef<T>(null);
  useEffect(() => (ref.current ? keepFocus(ref.current) : undefined), []);
  return ref;
}

function keepFocus(root: HTMLElement): () => void {
  /** The focused element and its ancestors up to `root`. */
  let path: Element[] = [];
  const onFocus = ({ target }: FocusEvent): void => {
    path = [];
    for (
      let each = target as Element | null;
      each !== null && root.contains(each);
      each = each.parentElement
    ) {
      path.push(each);
    }
  };
  const onBlur = (): void => {
    // The event also comes when the window goes to the background, which keeps the focus, and, in some
    // browsers, when the focused element is removed.
    queueMicrotask(() => {
      if (path[0]?.isConnected && path[0] !== document.activeElement) {
        path = [];
      }
    });
  };
  const onRemoved = (): void => {
    const [lost, ...around] = path;
    const { activeElement, body } = document;
    const isNowhere = activeElement === null || activeElement === body;
    if (lost !== undefined && !lost.isConnected && isNowhere) {
      const left = around.filter(each => each.isConnected);
      const places = left.map(each => each.querySelector<HTMLElement>(PLACES));
      places.find(Boolean)?.focus();
    }
  };
  const observer = new MutationObserver(onRemoved);
  root.addEventListener('focusin', onFocus);
  root.addEventListener('focusout', onBlur);
  observer.observe(root, { childList: true, subtree: true });
  return () => {
    root.removeEventListener('focusin', onFocus);
    root.removeEventListener('focusout', onBlur);
    observer.disconnect();
  };
}
