/**
 * Shows a thing once, however many tabs of a browser have this JupyterLab open.
 *
 * Decides which tab shows it, and remembers that. A tab that closes before the user could see it
 * passes it on to the next.
 */

const STORAGE_KEY = 'sagemaker-autoshutdown:warned';
const MAX_REMEMBERED = 50;

/** The browser's Web Locks: one tab holds a lock at a time, and releases it when it closes. */
export interface ILocks {
  request(
    name: string,
    options: { signal: AbortSignal },
    whileHeld: () => Promise<void>
  ): Promise<unknown>;
}

/** A tab's place in the queue of tabs that would show the same thing. */
export interface ITurn {
  /** It was seen, or is over: no tab shows it from now on. */
  end(): void;
  /** Leave it to other tabs. */
  leave(): void;
}

export class OnceOverTabs {
  constructor(private readonly _options: OnceOverTabs.IOptions) {}

  /** Whether it was shown in this tab, perhaps before a reload, or seen in another. */
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
      // Without locks nobody would know that this tab closed too early.
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
    /** A tab's memory, which survives a reload. */
    tab: Storage;
    /** The memory that all tabs share. */
    browser: Storage;
    /** Missing if the page came over plain HTTP. */
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
    // Full or forbidden: it may then be shown again.
  }
}
