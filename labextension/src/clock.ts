/**
 * Time for display: the server's clock, and a tick per second for countdowns.
 */

import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import { Signal, type ISignal } from '@lumino/signaling';

/** The server's clock, estimated from its last answer. This machine's own may be wrong. */
export class ServerClock {
  /** Learn from an answer: the server's time at some moment between the other two times. */
  set(serverNow: string, askedAt: number, answeredAt: number): void {
    const parsed = Date.parse(serverNow);
    if (Number.isFinite(parsed)) {
      this._offset = parsed - (askedAt + answeredAt) / 2;
    }
  }

  /** In milliseconds of Unix time. */
  now(): number {
    return Date.now() + this._offset;
  }

  private _offset = 0;
}

const TICK_MS = 1000;
/** Timers of a visible page are never this late, unless the machine slept. */
const SLEPT_MS = 15_000;

/** Ticks once a second while somebody listens and the page is visible. */
export class Ticker {
  /** Emitted at the first tick after the machine slept. */
  get woke(): ISignal<this, void> {
    return this._woke;
  }

  /** Call `listener` at every tick until the result is disposed of. */
  subscribe(listener: () => void): IDisposable {
    this._listeners.add(listener);
    if (this._listeners.size === 1) {
      document.addEventListener('visibilitychange', this._adjust);
      this._adjust();
    }
    return new DisposableDelegate(() => {
      this._listeners.delete(listener);
      if (this._listeners.size === 0) {
        document.removeEventListener('visibilitychange', this._adjust);
        this._stop();
      }
    });
  }

  private readonly _adjust = (): void => {
    this._stop();
    if (!document.hidden) {
      this._last = Date.now();
      this._timer = window.setInterval(this._tick, TICK_MS);
      this._tell();
    }
  };

  private readonly _tick = (): void => {
    const slept = Date.now() - this._last > SLEPT_MS;
    this._last = Date.now();
    if (slept) {
      this._woke.emit();
    }
    this._tell();
  };

  private _tell(): void {
    for (const listener of [...this._listeners]) {
      listener();
    }
  }

  private _stop(): void {
    window.clearInterval(this._timer);
  }

  private readonly _listeners = new Set<() => void>();
  private readonly _woke = new Signal<this, void>(this);
  private _timer = 0;
  private _last = 0;
}
