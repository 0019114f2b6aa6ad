/**
 * What is to be shown once, however many tabs of a browser have this JupyterLab open.
 *
 * Owns who shows it and what is remembered of it. A tab that is closed before it could be seen
 * hands it on to the next.
 */

const STORAGE_KEY = 'sagemaker-autoshutdown:warned';
const MAX_REMEMBERED = 50;

/** The browser's Web Locks: held by one tab at a time, and free once that is closed. */
export interface ILocks {
  request(
    name: string,
    options: { signal: AbortSignal },
    whileHeld: () => Promise<void>
  ): Promise<unknown>;
}

/** A tab's place in the queue of those that would show the same thing. */
export interface ITurn {
  /** It was seen, or is over: no tab shows it from now on. */
  end(): void;
  /** Leave it to other tabs. */
  leave(): void;
}

export class OnceOverTabs {
  constructor(private readonly _options: OnceOverTabs.IOptions) {}

  /** Whether it was shown in this tab, be it before a reload, or was seen in another. */
  isOver(key: string): boolean {
    const { tab, browser } = this._options;
    return recall(tab).includes(key) || recall(browser).includes(key);
  }

  /** Call `show` as soon as no other tab shows it, unless it was seen there. */
  take(key: string, show: () => void): ITurn {
    const { tab, browser, locks } = this._options;
    const leaving = new AbortController();
    let letGo = (): void => undefined;
    const ended = new Promise<void>(done => (letGo = done));
    const leave = (): void => {
      leaving.abort();
      letGo();
    };
    const end = (): void => {
      if (!leaving.signal.aborted) {
        remember(browser, key);
        leave();
      }
    };
    const whileHeld = (): Promise<void> => {
      if (leaving.signal.aborted || this.isOver(key)) {
        return Promise.resolve();
      }
      remember(tab, key);
      show();
      return ended;
    };
    if (locks === undefined) {
      void whileHeld();
      // Nobody would know that this tab was closed too early.
      remember(browser, key);
    } else {
      locks
        .request(`${STORAGE_KEY}:${key}`, { signal: leaving.signal }, whileHeld)
        .catch(() => {
          // This tab left before its turn came.
        });
    }
    return { end, leave };
  }
}

export namespace OnceOverTabs {
  export interface IOptions {
    /** What a tab remembers over a reload. */
    tab: Storage;
    /** What all tabs remember. */
    browser: Storage;
    /** Missing where the page came over plain HTTP. */
    locks: ILocks | undefined;
  }
}

function recall(storage: Storage): string[] {
  try {
    const keys: unknown = JSON.parse(storage.getItem(STORAGE_KEY) ?? '[]');
    return Array.isArray(keys)
      ? keys.filter(key => typeof key === 'string')
      : [];
  } catch {
    return [];
  }
}

function remember(storage: Storage, key: string): void {
  const others = recall(storage).filter(each => each !== key);
  const latest = [...others, key].slice(-MAX_REMEMBERED);
  try {
    storage.setItem(STORAGE_KEY, JSON.stringify(latest));
  } catch {
    // Full, or forbidden: then it may be shown again.
  }
}
