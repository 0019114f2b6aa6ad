/**
 * The most important fact of the status for a user: what happens next.
 *
 * Pure. The panel's headline and the status bar show the same answer at different lengths.
 */

import type { TranslationBundle } from '@jupyterlab/translation';

import { countdown, secondsUntil, time } from './format';
import { endOf, markedFor } from './keeping';
import type { App, Status } from './openapi';
import {
  appTitle,
  canAct,
  distinctTitle,
  fileName,
  isCounting,
  isUnseen
} from './wording';

export type AnswerKind =
  | 'unseen'
  | 'stalled'
  | 'nothing'
  | 'dry_run'
  | 'deadline'
  | 'warned'
  | 'kept'
  | 'going'
  | 'busy'
  | 'starting'
  | 'unknown'
  | 'stuck';

export interface IAnswer {
  readonly kind: AnswerKind;
  /** The app of the answer. */
  readonly app: App | null;
  /** When that happens, in milliseconds of Unix time. */
  readonly at: number | null;
}

/** What happens next. In dry run, nothing does. */
export function answerOf(status: Status): IAnswer {
  const none = { app: null, at: null };
  if (isUnseen(status)) {
    return { kind: 'unseen', ...none };
  }
  const apps = status.apps.filter(
    app => app.status !== 'Deleted' && app.status !== 'Failed'
  );
  if (apps.length === 0) {
    return { kind: 'nothing', ...none };
  }
  // A fleet shuts it down whatever this server decides.
  const marked = apps
    .flatMap(app => {
      const at = markedFor(app);
      return at === null ? [] : [{ app, at }];
    })
    .sort((one, other) => one.at - other.at)[0];
  if (marked !== undefined && (status.dry_run || status.check_overdue)) {
    return { kind: 'warned', ...marked };
  }
  if (status.dry_run) {
    return { kind: 'dry_run', ...none };
  }
  if (status.check_overdue) {
    return { kind: 'stalled', ...none };
  }
  const ends = apps
    .filter(app => canAct(app) && isCounting(app))
    .flatMap(app => {
      const at = endOf(app);
      return at === null ? [] : [{ app, at }];
    })
    .sort((one, other) => one.at - other.at);
  const next = ends[0];
  if (marked !== undefined && (next === undefined || marked.at < next.at)) {
    return { kind: 'warned', ...marked };
  }
  if (next !== undefined) {
    const { state } = next.app;
    const kind =
      state === 'kept' ? 'kept' : state === 'warned' ? 'warned' : 'deadline';
    return { kind, ...next };
  }
  const first = (is: (app: App) => boolean): App | undefined => apps.find(is);
  const kinds: [AnswerKind, App | undefined][] = [
    ['going', first(app => app.state === 'shutting_down')],
    ['stuck', first(app => app.state === 'failed')],
    ['unknown', first(app => app.state === 'unknown')],
    ['starting', first(app => app.reason === 'app_starting')]
  ];
  for (const [kind, app] of kinds) {
    if (app !== undefined) {
      return { kind, app, at: null };
    }
  }
  const busy = first(app => app.state === 'busy') ?? apps[0] ?? null;
  return { kind: 'busy', app: busy, at: null };
}

/** The panel's headline. */
export function headline(
  answer: IAnswer,
  now: number,
  trans: TranslationBundle
): string {
  const { kind, app, at } = answer;
  switch (kind) {
    case 'unseen':
      return trans.__('Not yet known');
    case 'stalled':
      return trans.__('Checks have stopped');
    case 'nothing':
      return trans.__('Nothing running');
    case 'dry_run':
      return trans.__('Dry run: nothing is shut down');
    case 'deadline':
    case 'warned':
      return isNow(at, now)
        ? trans.__('Shutting down')
        : trans.__('Shuts down in %1', left(at, now, trans));
    case 'kept':
      return trans.__('Kept until %1', time(at ?? now, now));
    case 'going':
      return trans.__('Shutting down');
    case 'stuck':
      return trans.__('Could not be shut down');
    case 'unknown':
      return trans.__('Activity unknown: not shut down');
    case 'starting':
      return trans.__('Starting');
    case 'busy': {
      const what = busyWith(app);
      return what ? trans.__('Busy: %1', what) : trans.__('Busy');
    }
  }
}

/** The status bar's first words. */
export function shortAnswer(
  answer: IAnswer,
  now: number,
  trans: TranslationBundle
): string {
  const { kind, at } = answer;
  switch (kind) {
    case 'deadline':
    case 'warned':
      return isNow(at, now)
        ? trans.__('Shutting down')
        : trans.__('Stops in %1', left(at, now, trans));
    case 'kept':
      return trans.__('Kept %1', left(at, now, trans));
    case 'busy':
      return trans.__('Busy');
    case 'dry_run':
      return trans.__('Dry run');
    case 'stuck':
      return trans.__('Not shut down');
    case 'unknown':
      return trans.__('Activity unknown');
    default:
      return headline(answer, now, trans);
  }
}

/** The name of the answer's app, if there are several apps. */
export function nameOf(
  { app }: IAnswer,
  status: Status,
  trans: TranslationBundle
): string {
  const several =
    status.apps.filter(each => each.status === 'InService').length > 1;
  return several && app !== null ? distinctTitle(app, status.apps, trans) : '';
}

/** What keeps an app busy, in few words. */
function busyWith(app: App | null): string {
  if (app === null) {
    return '';
  }
  const busy = app.work.find(
    work => work.state === 'busy' || work.background_job
  );
  const what = app.subject || busy?.label;
  return what ? fileName(what) : appTitle(app);
}

function left(
  at: number | null,
  now: number,
  trans: TranslationBundle
): string {
  const iso = new Date(at ?? now).toISOString();
  // Non-breaking: keep these together at the end of a line.
  return countdown(secondsUntil(iso, now), trans).replace(/ /g, '\u00a0');
}

function isNow(at: number | null, now: number): boolean {
  return at !== null && at <= now;
}
