/**
 * Durations, times and money in words, in the user's language and region.
 */

import type { TranslationBundle } from '@jupyterlab/translation';

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A duration for reading: `3 d 4 h`, `2 h 5 min`, `12 min`, `40 s`, a unit never on another line than
 * its number. Takes seconds. */
export function duration(seconds: number, trans: TranslationBundle): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < MINUTE) {
    return trans.__('%1\u00a0s', whole);
  }
  // From a minute on, seconds are dropped, except for short durations of about a minute.
  const minutes = Math.floor(whole / MINUTE);
  if (whole < 10 * MINUTE && whole % MINUTE !== 0) {
    return trans.__('%1\u00a0min %2\u00a0s', minutes, whole % MINUTE);
  }
  if (whole < HOUR) {
    return trans.__('%1\u00a0min', minutes);
  }
  if (whole < DAY) {
    const rest = minutes % 60;
    return rest === 0
      ? trans.__('%1\u00a0h', minutes / 60)
      : trans.__('%1\u00a0h %2\u00a0min', Math.floor(minutes / 60), rest);
  }
  const hours = Math.floor((whole % DAY) / HOUR);
  const days = Math.floor(whole / DAY);
  return hours === 0
    ? trans.__('%1\u00a0d', days)
    : trans.__('%1\u00a0d %2\u00a0h', days, hours);
}

/** Like `duration`, but without seconds from a minute on: for things that have lasted a while. */
export function roughly(seconds: number, trans: TranslationBundle): string {
  return duration(
    seconds < MINUTE ? seconds : Math.floor(seconds / MINUTE) * MINUTE,
    trans
  );
}

/** A countdown: to the second below ten minutes (`4:32`), else up to the minute. Takes seconds. */
export function countdown(seconds: number, trans: TranslationBundle): string {
  const left = Math.max(0, Math.ceil(seconds));
  if (left >= 10 * MINUTE) {
    // Round up: a user who keeps an app for an hour should not read 59 min.
    return duration(Math.ceil(left / MINUTE) * MINUTE, trans);
  }
  const rest = String(left % MINUTE).padStart(2, '0');
  return `${Math.floor(left / MINUTE)}:${rest}`;
}

/** The browser's language, if it is valid: a Chromium in the C locale reports `en-US@posix`. */
function locale(): string | undefined {
  const { language } = navigator;
  try {
    return Intl.getCanonicalLocales(language)[0];
  } catch {
    return undefined;
  }
}

/** A time of day, with its date unless that is today's. Takes milliseconds of Unix time. */
export function time(at: number, now: number): string {
  const date = new Date(at);
  const isToday = date.toDateString() === new Date(now).toDateString();
  return new Intl.DateTimeFormat(locale(), {
    hour: 'numeric',
    minute: '2-digit',
    ...(!isToday && { day: 'numeric', month: 'short' })
  }).format(date);
}

/** A time with its weekday, for events. Takes milliseconds of Unix time. */
export function moment(at: number, now: number): string {
  const date = new Date(at);
  const isToday = date.toDateString() === new Date(now).toDateString();
  const isRecent = now - at < 6 * DAY * 1000;
  return new Intl.DateTimeFormat(locale(), {
    hour: 'numeric',
    minute: '2-digit',
    ...(!isToday &&
      (isRecent ? { weekday: 'short' } : { day: 'numeric', month: 'short' }))
  }).format(date);
}

/** Whether a day in UTC is a Saturday or Sunday. */
export function isWeekend(key: string): boolean {
  return [0, 6].includes(new Date(`${key}T00:00:00Z`).getUTCDay());
}

/** A day in UTC with its weekday. */
export function longDay(key: string): string {
  return new Intl.DateTimeFormat(locale(), {
    weekday: 'short',
    day: 'numeric',
    month: 'short',
    timeZone: 'UTC'
  }).format(new Date(`${key}T00:00:00Z`));
}

/** A day in UTC (`2026-09-01`), in the form of the costs. */
export function day(key: string): string {
  return new Intl.DateTimeFormat(locale(), {
    day: 'numeric',
    month: 'short',
    timeZone: 'UTC'
  }).format(new Date(`${key}T00:00:00Z`));
}

/** An amount in USD, to the cent. */
export function usd(amount: string | number): string {
  const value = Number(amount);
  return value > 0 && value < 0.005
    ? `< ${money(0.01, 2, 2)}`
    : money(value, 2, 2);
}

/** A price per hour. Below ten cents, cents would not tell instances apart. */
export function usdPerHour(amount: number, trans: TranslationBundle): string {
  return trans.__('%1/h', money(amount, 2, amount < 0.1 ? 4 : 2));
}

/** An amount on an axis: without cents if they are zero. */
export function usdRound(amount: number): string {
  return money(amount, Number.isInteger(amount) ? 0 : 2, 2);
}

function money(value: number, least: number, most: number): string {
  return new Intl.NumberFormat(locale(), {
    style: 'currency',
    currency: 'USD',
    currencyDisplay: 'narrowSymbol',
    minimumFractionDigits: least,
    maximumFractionDigits: most
  }).format(value);
}

/** Seconds from `now` (milliseconds of Unix time) until an ISO time; negative once it is past. */
export function secondsUntil(iso: string, now: number): number {
  return (Date.parse(iso) - now) / 1000;
}

/** Seconds from an ISO time until `now`, never negative. */
export function secondsSince(iso: string, now: number): number {
  return Math.max(0, -secondsUntil(iso, now));
}
