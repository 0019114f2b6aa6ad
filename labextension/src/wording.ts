/**
 * Names of apps, and states and reasons as sentences in the user's language.
 */

import type { TranslationBundle } from '@jupyterlab/translation';

import type { IEnd } from './ending';
import { roughly, secondsSince, time, usdPerHour } from './format';
import type {
  App,
  Event,
  Instance,
  PriceSource,
  State,
  Status
} from './openapi';
import type { IDocumentSaver } from './tokens';

/** The name by which a user knows an app: its image, or its kind. The full name is `app_name`. */
export function appTitle(app: App): string {
  switch (app.app_type) {
    case 'KernelGateway':
      // arn:aws:sagemaker:REGION:ACCOUNT:image/NAME
      return app.image.split('/').pop() || app.app_name;
    case 'JupyterLab':
      return 'JupyterLab';
    default:
      return app.app_name;
  }
}

/** A title. If two apps would have the same one, the instance type is added, or else the name. */
export function distinctTitle(
  app: App,
  apps: readonly App[],
  trans: TranslationBundle
): string {
  const title = appTitle(app);
  const namesakes = apps.filter(
    other => other.app_name !== app.app_name && appTitle(other) === title
  );
  if (namesakes.length === 0) {
    return title;
  }
  return namesakes.some(other => other.instance_type === app.instance_type)
    ? trans.__('%1 (%2)', title, app.app_name)
    : trans.__('%1 on %2', title, app.instance_type);
}

/** The name of an app of which only an event may be left, without SageMaker's additions. */
export function titleOfEvent(event: Event, apps: readonly App[]): string {
  const known = apps.find(app => app.app_name === event.app_name);
  if (known !== undefined) {
    return appTitle(known);
  }
  if (event.app_type === 'JupyterLab') {
    return 'JupyterLab';
  }
  // IMAGE-INSTANCE_TYPE-HASH; if that is too long, the end of what precedes the hash is missing.
  const hash = /-[0-9a-f]{28}$/.exec(event.app_name);
  if (hash === null) {
    return event.app_name;
  }
  const name = event.app_name.slice(0, hash.index);
  let type = `-${event.instance_type.replace(/\./g, '-')}`;
  while (!name.endsWith(type)) {
    type = type.slice(0, -1);
  }
  return name.slice(0, name.length - type.length) || event.app_name;
}

/** An app's state in a word or two. */
export function appLabel(
  app: App,
  dryRun: boolean,
  trans: TranslationBundle
): string {
  if (app.reason === 'app_starting') {
    return trans.__('Starting');
  }
  if (app.state === 'failed') {
    return app.status === 'Failed'
      ? trans.__('Did not start')
      : trans.__('Not shut down');
  }
  if (app.state === 'warned' && dryRun) {
    return trans.__('Overdue');
  }
  return stateLabel(app.state, trans);
}

export function stateLabel(state: State, trans: TranslationBundle): string {
  const labels: Record<State, string> = {
    busy: trans.__('Busy'),
    active: trans.__('In use'),
    idle: trans.__('Idle'),
    warned: trans.__('Stops soon'),
    kept: trans.__('Kept'),
    shutting_down: trans.__('Shutting down'),
    failed: trans.__('Not shut down'),
    unknown: trans.__('Unknown')
  };
  // A newer server may know more states than this panel.
  return (labels as Partial<typeof labels>)[state] ?? state;
}

/** A kernel's state in Jupyter's words. */
export function kernelStateLabel(
  state: string,
  trans: TranslationBundle
): string {
  const labels: Record<string, string> = {
    starting: trans.__('starting'),
    idle: trans.__('idle'),
    busy: trans.__('busy'),
    restarting: trans.__('restarting'),
    autorestarting: trans.__('restarting by itself'),
    terminating: trans.__('ending'),
    dead: trans.__('dead'),
    unknown: trans.__('state not known')
  };
  return labels[state] ?? state;
}

/** Why an app is in its state, as a sentence. `now` is in milliseconds of Unix time; `shorten` makes
 * its subject short, a document's path for example. */
export function reasonSentence(
  app: App,
  now: number,
  trans: TranslationBundle,
  shorten = (subject: string): string => subject
): string {
  const about = shorten(app.subject);
  const since = app.since === null ? null : secondsSince(app.since, now);
  const lasted = since === null ? '' : roughly(since, trans);
  switch (app.reason) {
    case 'kernel_busy':
      if (about && lasted) {
        return trans.__('A cell has been running for %1 in %2.', lasted, about);
      }
      return about
        ? trans.__('A cell is running in %1.', about)
        : trans.__('A cell is running.');
    case 'kernel_state_unknown':
      return about
        ? trans.__('The kernel of %1 may be busy.', about)
        : trans.__('A kernel may be busy.');
    case 'terminal_state_unknown':
      return about
        ? trans.__('%1 does not say when it was last used.', about)
        : trans.__('A terminal does not say when it was last used.');
    case 'background_job':
      return about
        ? trans.__('A background job of %1 is working.', about)
        : trans.__('A background job is working.');
    case 'detached_job':
      if (about && lasted) {
        return trans.__(
          '%1 has been running outside of any terminal or notebook for %2.',
          about,
          lasted
        );
      }
      return trans.__('A job is running outside of any terminal or notebook.');
    case 'gpu_busy':
      return about
        ? trans.__('%1 is working.', about)
        : trans.__('A GPU is working.');
    case 'holding_program':
      return about
        ? trans.__('%1 is running.', about)
        : trans.__('A program that keeps this app up is running.');
    case 'server_unseen':
      return about
        ? trans.__('%1 did not answer, so it stays up.', about)
        : trans.__(
            'Another Jupyter server did not answer, so this app is not shut down.'
          );
    case 'connected':
      return about
        ? trans.__('A browser has %1 open, which counts as use here.', about)
        : trans.__('A browser is connected, which counts as use here.');
    case 'terminal_kept':
      return about
        ? trans.__('Terminal %1 is open, which counts as use here.', about)
        : trans.__('A terminal is open, which counts as use here.');
    case 'keep_alive':
      return trans.__('You asked to keep it.');
    case 'recently_active':
      return lasted
        ? trans.__('Last used %1 ago.', lasted)
        : trans.__('Used a short while ago.');
    case 'no_recent_activity':
      return lasted
        ? trans.__('Nothing has run for %1.', lasted)
        : trans.__('Nothing has run for a while.');
    case 'no_kernels':
      return lasted
        ? trans.__('Nothing has been open in it for %1.', lasted)
        : trans.__('No kernel or terminal is open in it.');
    case 'idle_timeout':
      return app.state === 'warned'
        ? trans.__('Its idle limit is near.')
        : trans.__('It was idle until its limit.');
    case 'busy_too_long':
      return trans.__('Busy for longer than your administrator allows.');
    case 'user_request':
      return trans.__('You asked to shut it down.');
    case 'dry_run':
      return trans.__('It would be shut down now, but dry run is on.');
    case 'app_starting':
      return lasted
        ? trans.__('It has been starting for %1.', lasted)
        : trans.__('It is starting.');
    case 'app_deleting':
      return lasted
        ? trans.__('SageMaker has been shutting it down for %1.', lasted)
        : trans.__('SageMaker is shutting it down.');
    case 'app_failed':
      return about
        ? trans.__('It failed to start, and costs nothing: %1', about)
        : trans.__('It failed to start, and costs nothing.');
    case 'activity_unseen':
      return trans.__(
        'Kernels or terminals could not be seen, so it is not shut down.'
      );
    case 'apps_unseen':
      return trans.__('SageMaker did not list it, so it is not shut down.');
    case 'shutdown_failed':
      return trans.__('It could not be shut down, and still costs money.');
    default:
      // A newer server may know more reasons than this panel; it sends them in English.
      return sentence(app.reason_text || app.reason, about);
  }
}

export function priceSourceLabel(
  source: PriceSource,
  trans: TranslationBundle
): string {
  const labels: Record<PriceSource, string> = {
    override: trans.__("your administrator's price"),
    api: trans.__('AWS price list'),
    list: trans.__('bundled price list'),
    estimate: trans.__('estimate'),
    unpriced: trans.__('no price known')
  };
  return (labels as Partial<typeof labels>)[source] ?? source;
}

/** The hourly cost of the running instances; empty if none runs. */
export function hourlyCost(
  instances: readonly Instance[],
  trans: TranslationBundle
): string {
  const prices = instances.flatMap(({ usd_per_hour }) =>
    usd_per_hour === null ? [] : [Number(usd_per_hour)]
  );
  const unpriced = instances.length - prices.length;
  if (instances.length === 0) {
    return '';
  }
  if (prices.length === 0) {
    return trans.__('Price unknown');
  }
  const sum = usdPerHour(
    prices.reduce((total, price) => total + price, 0),
    trans
  );
  return unpriced === 0
    ? sum
    : trans._n(
        '%2 + %1 without a price',
        '%2 + %1 without a price',
        unpriced,
        sum
      );
}

/** Whether there may be unseen apps: a server knows of none before its first check. */
export function isUnseen(status: Status): boolean {
  const { apps, checked_at, check_overdue } = status;
  return apps.length === 0 && (checked_at === null || check_overdue);
}

/** Whether an app is up and not being shut down, so that it can be kept or shut down. */
export function canAct(app: App): boolean {
  return app.status === 'InService' && app.state !== 'shutting_down';
}

/** States in which the clock runs: nothing holds the app except a keep-alive, which has an end. A busy
 * app may be kept as well, but is not shut down when that ends. */
const COUNTING: readonly State[] = ['active', 'idle', 'warned', 'kept'];

export function isCounting(app: App): boolean {
  return COUNTING.includes(app.state);
}

/** A document without its folders; other subjects, such as a command line, unchanged. */
export function fileName(subject: string): string {
  return /\.ipynb$|^[^\s:]+$/.test(subject)
    ? subject.split('/').pop() || subject
    : subject;
}

/** Whether the server itself ends with its app. */
export function endsWithApp(status: Status): boolean {
  return status.host === 'space' || status.host === 'notebook-instance';
}

/** A server's own words as a sentence. */
function sentence(text: string, about: string): string {
  const whole = about && !text.includes(about) ? `${text}: ${about}` : text;
  return `${whole.charAt(0).toUpperCase()}${whole.slice(1)}${/[.!?]$/.test(whole) ? '' : '.'}`;
}

/** How the server ended, for a page that is still open. */
export function endText(
  end: IEnd,
  now: number,
  trans: TranslationBundle
): string {
  const at = time(end.at, now);
  return end.idleSeconds === null
    ? trans.__('This JupyterLab was shut down at %1.', at)
    : trans.__(
        'This JupyterLab was shut down at %1 after %2 idle.',
        at,
        roughly(Math.round(end.idleSeconds), trans)
      );
}

/** Whether documents were saved when the server ended. It claims nothing that is not known. */
export function documentsText(
  saver: IDocumentSaver | null,
  trans: TranslationBundle
): string {
  const unsaved = saver?.unsaved() ?? [];
  if (unsaved.length > 0) {
    return trans.__('Not saved: %1.', unsaved.join(', '));
  }
  return saver?.hasSaved ? trans.__('Documents were saved.') : '';
}

/** The product in a few sentences. */
export function howItWorks(trans: TranslationBundle): string {
  return trans.__(
    'An app is shut down, after a warning, once it has been idle for its idle limit. Running cells, background jobs and typing in a terminal count as use. An app whose activity is unknown is never shut down. Files stay; variables are lost.'
  );
}
