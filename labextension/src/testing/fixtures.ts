/**
 * Answers of the REST API for tests. `fixtures.spec.ts` holds them to the server's own description.
 */

import type {
  App,
  AppError,
  Costs,
  Event,
  History,
  Instance,
  Money,
  Settings,
  Status,
  Totals,
  Work
} from '../openapi';

/** The server's clock in all fixtures. */
export const NOW = '2026-09-18T12:00:00Z';

/** A time so many seconds after `NOW`. */
export function at(seconds: number): string {
  return new Date(Date.parse(NOW) + seconds * 1000).toISOString();
}

const HOUR = 3600;
const IMAGE = 'arn:aws:sagemaker:us-east-2:123456789012:image/';

export function work(changes: Partial<Work> = {}): Work {
  return {
    kind: 'kernel',
    id: '8b71da19-0000-4000-8000-000000000000',
    label: 'train.ipynb',
    state: 'idle',
    last_activity: at(-HOUR),
    connections: 1,
    background_job: false,
    evidence: [],
    shared: false,
    ...changes
  };
}

/** An app that has been idle for one of its two hours. */
export function app(changes: Partial<App> = {}): App {
  return {
    app_name: 'datascience-1-0-ml-t3-medium-fbbacbd136ea35c00e5ce9203df8',
    app_type: 'KernelGateway',
    instance_type: 'ml.t3.medium',
    status: 'InService',
    state: 'idle',
    reason: 'no_recent_activity',
    reason_text: 'nothing has run for a while',
    subject: '',
    since: at(-HOUR),
    idle_timeout: 2 * HOUR,
    limit: 'idle_timeout',
    idle_since: at(-HOUR),
    shutdown_at: at(HOUR),
    kept_until: null,
    image: `${IMAGE}datascience-1.0`,
    run_started_at: at(-3 * HOUR),
    work: [work()],
    error: null,
    mark: null,
    ...changes
  };
}

export const busyApp = app({
  state: 'busy',
  reason: 'kernel_busy',
  reason_text: 'a cell is running',
  subject: 'train.ipynb',
  since: at(-2 * HOUR),
  idle_since: null,
  shutdown_at: null,
  work: [
    work({ state: 'busy', last_activity: at(-2 * HOUR) }),
    work({
      kind: 'terminal',
      id: 'datascience-1.0__1__ml.t3.medium',
      label: 'Terminal 1',
      state: '',
      last_activity: null,
      connections: 0,
      shared: true
    })
  ]
});

export const warnedApp = app({
  app_name: 'pytorch-2-0-ml-g4dn-xlarge-0c1d2e3f405162738495a6b7c8d9',
  instance_type: 'ml.g4dn.xlarge',
  state: 'warned',
  reason: 'idle_timeout',
  reason_text: 'idle until its limit',
  since: at(-2 * HOUR + 272),
  idle_since: at(-2 * HOUR + 272),
  shutdown_at: at(272),
  image: `${IMAGE}pytorch-2.0.0-gpu-py310`,
  work: []
});

export const activeApp = app({
  state: 'active',
  reason: 'recently_active',
  reason_text: 'used a short while ago',
  since: at(-120),
  idle_since: at(-120),
  shutdown_at: at(2 * HOUR - 120)
});

export const keptApp = app({
  state: 'kept',
  reason: 'keep_alive',
  reason_text: 'kept alive by the user',
  shutdown_at: at(4 * HOUR),
  kept_until: at(4 * HOUR)
});

export const deniedError: AppError = {
  code: 'AccessDeniedException',
  message: 'not authorized to perform sagemaker:DeleteApp',
  remedy:
    'Ask your administrator to allow the IAM action sagemaker:DeleteApp to the execution role.',
  iam_action: 'sagemaker:DeleteApp',
  attempts: 3,
  since: at(-HOUR),
  retry_at: at(HOUR / 2)
};

export const undeletableApp = app({
  state: 'failed',
  reason: 'shutdown_failed',
  reason_text: 'the shutdown failed and will be tried again',
  since: at(-HOUR),
  idle_since: at(-3 * HOUR),
  shutdown_at: at(-HOUR),
  error: deniedError
});

export const brokenApp = app({
  app_name: 'tensorflow-2-12-ml-m5-large-9aab8c7d6e5f40312233445566f7',
  instance_type: 'ml.m5.large',
  status: 'Failed',
  state: 'failed',
  reason: 'app_failed',
  reason_text: 'the app failed to start; it is not billed',
  subject: 'The image could not be pulled.',
  since: at(-HOUR),
  idle_since: null,
  shutdown_at: null,
  image: `${IMAGE}tensorflow-2.12.0-cpu-py310`,
  work: []
});

export const startingApp = app({
  status: 'Pending',
  state: 'active',
  reason: 'app_starting',
  reason_text: 'the app is starting',
  since: at(-40),
  idle_since: null,
  shutdown_at: null,
  work: []
});

export const goingApp = app({
  status: 'Deleting',
  state: 'shutting_down',
  reason: 'app_deleting',
  reason_text: 'the app is being shut down',
  since: at(-90),
  idle_since: null,
  shutdown_at: null,
  work: []
});

export const unseenApp = app({
  state: 'unknown',
  reason: 'activity_unseen',
  reason_text:
    'kernels or terminals could not be seen, so nothing is shut down',
  since: null,
  idle_since: null,
  shutdown_at: null,
  work: []
});

export const spaceApp = app({
  app_name: 'default',
  app_type: 'JupyterLab',
  image: '',
  state: 'warned',
  reason: 'idle_timeout',
  reason_text: 'idle until its limit',
  since: at(-2 * HOUR + 272),
  idle_since: at(-2 * HOUR + 272),
  shutdown_at: at(272)
});

export function money(changes: Partial<Money> = {}): Money {
  return {
    usd: '4.00',
    in_use_usd: '3.00',
    idle_usd: '1.00',
    idle_share: 0.25,
    avoided_usd: '0.80',
    volume_usd: '0',
    estimated: false,
    unpriced_seconds: 0,
    ...changes
  };
}

/** The cost of each of the thirty days up to `NOW`, in cents; zero on ten of them. */
const DAYS = Array.from({ length: 30 }, (_, index) => {
  const isOff = index % 3 === 0;
  const inUse = isOff ? 0 : 80 + (index % 5) * 30;
  const idle = isOff ? 0 : ([40, 150, 90, 20][index % 4] ?? 0);
  return { key: at((index - 29) * 24 * HOUR).slice(0, 10), inUse, idle };
});

/** The costs of the days from `first` on, so that all sums agree. */
function sum(first: string, changes: Partial<Money> = {}): Money {
  const days = DAYS.filter(({ key }) => key >= first);
  const inUse = days.reduce((cents, each) => cents + each.inUse, 0);
  const idle = days.reduce((cents, each) => cents + each.idle, 0);
  return money({
    usd: dollars(inUse + idle),
    in_use_usd: dollars(inUse),
    idle_usd: dollars(idle),
    idle_share: inUse + idle === 0 ? null : idle / (inUse + idle),
    avoided_usd: '0',
    ...changes
  });
}

function dollars(cents: number): string {
  return (cents / 100).toFixed(2);
}

const TODAY = NOW.slice(0, 10);

export const totals: Totals = {
  today: sum(TODAY, { avoided_usd: '0.80' }),
  month: sum(`${NOW.slice(0, 8)}01`, { avoided_usd: '5.20', estimated: true }),
  last_30_days: sum('', {
    avoided_usd: '8.75',
    estimated: true,
    unpriced_seconds: 5400
  })
};

export function instance(changes: Partial<Instance> = {}): Instance {
  return {
    instance_type: 'ml.t3.medium',
    app_names: ['datascience-1-0-ml-t3-medium-fbbacbd136ea35c00e5ce9203df8'],
    usd_per_hour: '0.05',
    price_date: '2026-08-15',
    price_source: 'list',
    idle: false,
    up_since: at(-3 * HOUR),
    cost: null,
    ...changes
  };
}

/** The instance of an app, up and billed for as long as the app. */
function instanceOf(app: App): Instance {
  const usdPerHour = app.instance_type === 'ml.g4dn.xlarge' ? 0.7364 : 0.05;
  const cents = (since: string | null): number =>
    since === null
      ? 0
      : Math.round(
          ((Date.parse(NOW) - Date.parse(since)) / 36_000) * usdPerHour
        );
  const all = cents(app.run_started_at);
  const idle = cents(app.idle_since);
  const cost = money({
    usd: dollars(all),
    in_use_usd: dollars(all - idle),
    idle_usd: dollars(idle),
    idle_share: idle / all,
    avoided_usd: '0'
  });
  return instance({
    instance_type: app.instance_type,
    app_names: [app.app_name],
    usd_per_hour: String(usdPerHour),
    up_since: app.run_started_at,
    cost: { today: cost, month: cost, last_30_days: cost }
  });
}

/** A user of Studio Classic with one idle app. */
export function status(changes: Partial<Status> = {}): Status {
  const apps = changes.apps ?? [app()];
  return {
    version: '0.1.0',
    host: 'classic',
    message: '',
    region: 'us-east-2',
    domain_id: 'd-xxxxxxxxxxxx',
    owner: 'ada',
    owner_kind: 'user-profile',
    now: NOW,
    checked_at: at(-20),
    next_check_at: at(40),
    check_overdue: false,
    dry_run: false,
    presence: { is_known: true, closed_since: null },
    problems: [],
    notes: [],
    apps,
    instances: apps.filter(each => each.status !== 'Failed').map(instanceOf),
    totals,
    recording_error: '',
    ...changes
  };
}

export const nowhere = status({
  host: 'none',
  message: 'This server does not run on SageMaker, so nothing is shut down.',
  region: '',
  domain_id: '',
  owner: '',
  checked_at: null,
  next_check_at: null,
  apps: [],
  totals: null
});

export function settings(changes: Partial<Settings> = {}): Settings {
  return {
    idle_timeout: {
      value: 2 * HOUR,
      admin: 2 * HOUR,
      user: null,
      source: 'admin',
      min: 600,
      max: 4 * HOUR,
      editable: true,
      why_fixed: ''
    },
    closed_idle_timeout: {
      value: null,
      admin: null,
      user: null,
      source: 'admin',
      min: 1,
      max: 31622400,
      editable: true,
      why_fixed: ''
    },
    warning_time: {
      value: 600,
      admin: 300,
      user: 600,
      source: 'user',
      min: 1,
      max: 31622400,
      editable: true,
      why_fixed: ''
    },
    keep_terminals: {
      value: false,
      admin: false,
      user: null,
      source: 'admin',
      min: null,
      max: null,
      editable: false,
      why_fixed: 'Your administrator has fixed this setting.'
    },
    ignore_connections: {
      value: true,
      admin: true,
      user: null,
      source: 'admin',
      min: null,
      max: null,
      editable: true,
      why_fixed: ''
    },
    rules: [
      {
        instance_type: 'ml.g*',
        owner: '*',
        app_type: '*',
        idle_timeout: 1800,
        closed_idle_timeout: null
      }
    ],
    max_keep_alive: 24 * HOUR,
    dry_run: false,
    saved: true,
    notes: [],
    ...changes
  };
}

/** Twenty days of cost in the thirty before `NOW`. */
export function costs(): Costs {
  return {
    from: at(-29 * 24 * HOUR),
    to: NOW,
    group_by: 'day',
    rows: DAYS.filter(({ inUse, idle }) => inUse + idle > 0).map(
      ({ key, inUse, idle }) => ({
        key,
        ...money({
          usd: dollars(inUse + idle),
          in_use_usd: dollars(inUse),
          idle_usd: dollars(idle),
          idle_share: idle / (inUse + idle),
          avoided_usd: '0'
        })
      })
    ),
    total: totals.last_30_days
  };
}

export function event(changes: Partial<Event> = {}): Event {
  return {
    at: at(-16 * HOUR),
    kind: 'shutdown',
    message:
      'pytorch-2-0-ml-g4dn-xlarge-0c1d2e3f405162738495a6b7c8d9 is being shut down',
    app_name: 'pytorch-2-0-ml-g4dn-xlarge-0c1d2e3f405162738495a6b7c8d9',
    app_type: 'KernelGateway',
    instance_type: 'ml.g4dn.xlarge',
    reason: 'idle_timeout',
    shutdown_at: null,
    idle_seconds: 2 * HOUR,
    avoided_usd: '1.4728',
    ...changes
  };
}

const warning = event({
  at: at(-17 * HOUR),
  kind: 'warning',
  idle_seconds: null,
  avoided_usd: null
});

/** The latest events, newest first. */
export function history(): History {
  return {
    events: [
      event({
        at: at(-2 * HOUR),
        kind: 'keep_alive',
        app_name: 'datascience-1-0-ml-t3-medium-fbbacbd136ea35c00e5ce9203df8',
        instance_type: 'ml.t3.medium',
        reason: 'keep_alive',
        shutdown_at: at(-HOUR),
        idle_seconds: null,
        avoided_usd: null
      }),
      event(),
      warning,
      event({
        at: at(-3 * 24 * HOUR),
        kind: 'shutdown',
        reason: 'user_request',
        idle_seconds: null,
        avoided_usd: null
      }),
      event({
        at: at(-9 * 24 * HOUR),
        kind: 'failure',
        reason: 'shutdown_failed',
        idle_seconds: null,
        avoided_usd: null
      })
    ],
    next_before: null
  };
}
