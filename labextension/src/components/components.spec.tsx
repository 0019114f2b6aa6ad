import { nullTranslator } from '@jupyterlab/translation';
import { act, render, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import * as React from 'react';

import { RequestError } from '../client';
import { Ticker } from '../clock';
import type { App, Settings, State, Status } from '../openapi';
import { FakeModel } from '../testing/fakes';
import * as fixtures from '../testing/fixtures';
import type { IContext } from './context';
import { PanelView } from './PanelView';
import { SettingsForm } from './SettingsForm';
import { StatusBarView } from './StatusBarView';

const { app, at, settings, status } = fixtures;
const trans = nullTranslator.load('');

const actions = {
  keepAlive: jest.fn<Promise<void>, unknown[]>(),
  endKeepAlive: jest.fn<Promise<void>, unknown[]>(),
  shutDown: jest.fn<Promise<boolean>, unknown[]>()
};
const change = jest.fn<Promise<void>, unknown[]>();
let model: FakeModel;
let context: IContext;

beforeEach(() => {
  jest.resetAllMocks();
  actions.keepAlive.mockResolvedValue();
  actions.endKeepAlive.mockResolvedValue();
  actions.shutDown.mockResolvedValue(true);
  change.mockResolvedValue();
  model = new FakeModel();
  context = { trans, ticker: new Ticker(), now: () => model.now(), actions };
});

type More = Partial<React.ComponentProps<typeof PanelView>>;

function view(shown: Status | null, more: More): React.JSX.Element {
  return (
    <PanelView
      connection="connected"
      connectionError=""
      status={shown}
      settings={settings()}
      costs={fixtures.costs()}
      savingText=""
      context={context}
      changeSettings={change}
      {...more}
    />
  );
}

function show(shown: Status | null, more: More = {}): HTMLElement {
  return render(view(shown, more)).container;
}

/** A panel that can be shown something else. */
function panel(shown: Status): { show: (next: Status, more?: More) => void } {
  const { rerender } = render(view(shown, {}));
  return { show: (next, more = {}) => rerender(view(next, more)) };
}

/** What is said as an error. Fields have a place for theirs, empty as a rule. */
function alerts(): string[] {
  return screen
    .queryAllByRole('alert')
    .map(alert => alert.textContent ?? '')
    .filter(Boolean);
}

describe('apps', () => {
  const sentences: [State, Status['apps'][0], string][] = [
    [
      'busy',
      fixtures.busyApp,
      'A cell has been running in train.ipynb for 2 h.'
    ],
    [
      'busy',
      app({ reason: 'detached_job', subject: 'python train.py' }),
      'python train.py has been running outside of any terminal or notebook for 1 h.'
    ],
    ['active', fixtures.activeApp, 'Last used 2 min ago.'],
    ['idle', app(), 'Nothing has run for 1 h.'],
    ['warned', fixtures.warnedApp, 'Its idle limit is near.'],
    ['kept', fixtures.keptApp, 'You asked to keep it alive.'],
    [
      'shutting_down',
      fixtures.goingApp,
      'SageMaker has been shutting it down for 1 min.'
    ],
    ['failed', fixtures.undeletableApp, 'It could not be shut down'],
    ['failed', fixtures.brokenApp, 'The image could not be pulled.'],
    ['unknown', fixtures.unseenApp, 'Kernels or terminals could not be seen']
  ];
  test.each(sentences)('%s is told in plain words', (_, shown, sentence) => {
    expect(show(status({ apps: [shown] }))).toHaveTextContent(sentence);
  });

  test('every reason has a sentence, and none is blank', () => {
    const reasons = [
      'kernel_state_unknown',
      'background_job',
      'detached_job',
      'connected',
      'terminal_kept',
      'no_kernels',
      'busy_too_long',
      'user_request',
      'dry_run',
      'app_starting',
      'apps_unseen'
    ] as const;
    for (const reason of reasons) {
      const shown = show(status({ apps: [app({ reason, since: null })] }));
      const sentence = shown.querySelector('.jp-AutoShutdown-app p');
      expect(sentence?.textContent).toMatch(/^[A-Z].*\.$/);
    }
  });

  test('a reason or a state of a newer server is shown as the server says it', () => {
    const strange = app({
      reason: 'moon_phase' as 'dry_run',
      reason_text: 'the moon is full',
      state: 'waxing' as 'idle'
    });
    const shown = show(status({ apps: [strange] }));
    expect(shown).toHaveTextContent('the moon is full');
    expect(shown).toHaveTextContent('waxing');
  });

  test('the countdown goes on by itself, to the second at the end', () => {
    jest.useFakeTimers();
    show(status({ apps: [fixtures.warnedApp] }));
    expect(screen.getByRole('timer')).toHaveTextContent('4:32');
    model.seconds = 200;
    act(() => jest.advanceTimersByTime(1000));
    expect(screen.getByRole('timer')).toHaveTextContent('1:12');
    model.seconds = 400;
    act(() => jest.advanceTimersByTime(1000));
    expect(screen.getByRole('timer')).toHaveTextContent('0:00');
    jest.useRealTimers();
  });

  test('a failed shutdown tells the missing IAM action and the next try', () => {
    const shown = show(status({ apps: [fixtures.undeletableApp] }));
    expect(shown).toHaveTextContent('Missing IAM action: sagemaker:DeleteApp');
    expect(shown).toHaveTextContent('3 attempts failed. The next one is at');
    expect(screen.queryByRole('timer')).toBeNull();
  });

  test('an app that is gone is not shown, though SageMaker lists it for a day', () => {
    const gone = app({ status: 'Deleted', state: 'shutting_down' });
    const shown = show(status({ apps: [gone], instances: [] }));
    expect(shown).toHaveTextContent('Nothing is running');
  });

  test.each([{ checked_at: null }, { check_overdue: true }])(
    'a server that could not look (%j) is not taken for one where nothing runs or costs',
    unseen => {
      const shown = show(status({ apps: [], ...unseen }));
      expect(shown).toHaveTextContent('not known what runs');
      expect(shown).not.toHaveTextContent('Nothing is running');
      expect(shown).not.toHaveTextContent('$0.00/h');
    }
  );

  test('one that failed to start costs nothing and can not be acted upon', () => {
    show(status({ apps: [fixtures.brokenApp] }));
    expect(screen.getByText('Not billed now')).toBeInTheDocument();
    expect(screen.queryByRole('button', { name: /^Shut down/ })).toBeNull();
  });

  test('whose price it is, and of when, needs no mouse', () => {
    const panel = show(status());
    expect(panel).toHaveTextContent('Price: bundled price list, 2026-08-15');
  });

  test('a price that is a guess is marked as one', () => {
    const instance = fixtures.instance({ price_source: 'estimate' });
    const panel = show(status({ instances: [instance] }));
    expect(panel).toHaveTextContent('≈ $0.05/h');
  });

  test('the full name of an app needs no mouse', () => {
    show(status({ apps: [fixtures.warnedApp] }));
    const { app_name } = fixtures.warnedApp;
    expect(screen.getByText(`Name: ${app_name}`)).toBeInTheDocument();
  });

  test("a kernel's state is told in the user's language", () => {
    const work = fixtures.work({ state: 'autorestarting' });
    const panel = show(status({ apps: [app({ work: [work] })] }));
    expect(panel).toHaveTextContent('kernel · restarting by itself');
  });

  test('two apps of one image have buttons of different names', () => {
    const apps = [
      app(),
      app({ app_name: 'b', instance_type: 'ml.c5.large' }),
      app({ app_name: 'c', instance_type: 'ml.c5.large' })
    ];
    show(status({ apps }));
    const names = screen
      .getAllByRole('button')
      .map(button => button.getAttribute('aria-label') ?? '');
    expect(names).toContain('Shut down datascience-1.0 on ml.t3.medium now');
    expect(names).toContain('Shut down datascience-1.0 (b) now');
    expect(new Set(names).size).toBe(names.length);
  });

  test('an app that comes or goes on an instance disturbs none of the others', () => {
    const other = app({ app_name: 'other' });
    const on = (apps: App[]): Status =>
      status({
        apps,
        instances: [
          fixtures.instance({ app_names: apps.map(each => each.app_name) })
        ]
      });
    const { show: change } = panel(on([app()]));
    const [first] = document.querySelectorAll('.jp-AutoShutdown-app');
    first?.querySelector('details')?.setAttribute('open', '');
    change(on([app(), other]));
    expect(document.querySelectorAll('.jp-AutoShutdown-app')[0]).toBe(first);
  });

  test('an instance without a price is told so, not shown as free', () => {
    const instance = fixtures.instance({
      usd_per_hour: null,
      price_source: 'unpriced'
    });
    const shown = show(status({ instances: [instance] }));
    expect(shown).toHaveTextContent('no price known');
    expect(shown).toHaveTextContent('$0.00/h and what has no price');
  });
});

describe('actions', () => {
  test('keep alive is offered as far as the administrator allows', () => {
    show(status(), { settings: settings({ max_keep_alive: 7200 }) });
    const group = screen.getByRole('group', { name: /Keep datascience/ });
    const names = within(group)
      .getAllByRole('button')
      .map(b => b.textContent);
    expect(names).toEqual(['1 h', 'Until…']);
  });

  test('no keep alive is offered where none is allowed', () => {
    show(status(), { settings: settings({ max_keep_alive: 0 }) });
    expect(screen.queryByRole('group', { name: /Keep/ })).toBeNull();
  });

  test('a press keeps that app for that long', async () => {
    show(status());
    await userEvent.click(screen.getByRole('button', { name: /for 4 h/ }));
    expect(actions.keepAlive).toHaveBeenCalledWith(app(), { seconds: 14400 });
  });

  test('a keep-alive ends when its app goes, to the minute', () => {
    model.seconds = 0.5;
    const panel = show(status({ apps: [fixtures.keptApp] }));
    expect(screen.getByRole('timer')).toHaveTextContent(/^4 h$/);
    expect(panel).toHaveTextContent(/Kept alive until .* \(4 h\)/);
  });

  test('a keep-alive is undone', async () => {
    show(status({ apps: [fixtures.keptApp] }));
    await userEvent.click(screen.getByRole('button', { name: /Undo/ }));
    expect(actions.endKeepAlive).toHaveBeenCalledWith(fixtures.keptApp);
  });

  test('what the server refuses is said in place', async () => {
    actions.shutDown.mockRejectedValue(new RequestError(409, 'Not now.'));
    show(status());
    await userEvent.click(screen.getByRole('button', { name: /^Shut down/ }));
    expect(alerts()).toEqual(['Error: Not now.']);
  });

  test('a time beyond what is allowed is refused with what is', async () => {
    show(status(), { settings: settings({ max_keep_alive: 7200 }) });
    await userEvent.click(screen.getByRole('button', { name: /until a time/ }));
    const field = screen.getByLabelText('Keep alive until');
    await userEvent.clear(field);
    await userEvent.type(field, '2099-01-01T00:00');
    await userEvent.click(screen.getByRole('button', { name: 'Keep' }));
    expect(alerts()).toEqual([
      expect.stringContaining('Your administrator allows 2 h at most')
    ]);
    expect(field).toBeInvalid();
    expect(actions.keepAlive).not.toHaveBeenCalled();
  });

  test('in dry run nothing can be shut down, and that is said', () => {
    const shown = show(status({ dry_run: true }));
    expect(shown).toHaveTextContent('Dry run is on');
    expect(shown).toHaveTextContent('Would be shut down in');
    expect(screen.queryByRole('button', { name: /^Shut down/ })).toBeNull();
  });
});

describe('the focus', () => {
  const KEEP_4_H = 'Keep datascience-1.0 alive for 4 h';

  async function press(name: string | RegExp): Promise<HTMLElement> {
    const button = screen.getByRole('button', { name });
    button.focus();
    await userEvent.keyboard('{Enter}');
    return button;
  }

  test('stays on a button while its work is done, and is done once', async () => {
    let done = (): void => undefined;
    actions.keepAlive.mockReturnValue(new Promise(resolve => (done = resolve)));
    show(status());
    const button = await press(KEEP_4_H);
    expect(button).toHaveFocus();
    expect(button).toHaveAttribute('aria-disabled', 'true');
    await userEvent.keyboard('{Enter}');
    expect(actions.keepAlive).toHaveBeenCalledTimes(1);
    act(() => done());
    await waitFor(() =>
      expect(button).toHaveAttribute('aria-disabled', 'false')
    );
    expect(button).toHaveFocus();
  });

  test('goes to its app when the button that was pressed is gone', async () => {
    const { show: change } = panel(status({ apps: [fixtures.keptApp] }));
    await press(/^Undo/);
    change(status());
    const title = screen.getByRole('heading', { name: 'datascience-1.0' });
    await waitFor(() => expect(title).toHaveFocus());
  });

  test('goes to the title of the panel when the app is gone', async () => {
    const { show: change } = panel(status());
    await press(/^Shut down/);
    change(status({ apps: [] }));
    const title = screen.getByRole('heading', { level: 2 });
    await waitFor(() => expect(title).toHaveFocus());
  });

  test('goes to the instances that are left when the app is gone', async () => {
    const { show: change } = panel(
      status({ apps: [fixtures.warnedApp, app()] })
    );
    screen.getByRole('button', { name: KEEP_4_H }).focus();
    change(status({ apps: [fixtures.warnedApp] }));
    const title = screen.getByRole('heading', { name: 'ml.g4dn.xlarge' });
    await waitFor(() => expect(title).toHaveFocus());
  });

  test('is kept while the window is in the back', async () => {
    const { show: change } = panel(status());
    screen.getByRole('button', { name: KEEP_4_H }).focus();
    const inactive = jest.spyOn(Element.prototype, 'matches');
    inactive.mockReturnValue(false);
    document.activeElement?.dispatchEvent(
      new FocusEvent('focusout', { bubbles: true })
    );
    await Promise.resolve();
    inactive.mockRestore();
    change(status({ apps: [] }));
    const title = screen.getByRole('heading', { level: 2 });
    await waitFor(() => expect(title).toHaveFocus());
  });

  test('is left alone when the user has gone elsewhere', async () => {
    const { show: change } = panel(status());
    const button = screen.getByRole('button', { name: KEEP_4_H });
    button.focus();
    button.blur();
    await Promise.resolve();
    change(status({ apps: [] }));
    await Promise.resolve();
    expect(document.body).toHaveFocus();
  });

  test.each(['Cancel', 'Keep'])(
    'is on "Until…" again after "%s"',
    async name => {
      show(status());
      const until = await press(/until a time$/);
      expect(screen.getByLabelText('Keep alive until')).toHaveFocus();
      await press(name);
      expect(until).toHaveFocus();
    }
  );

  test('is on "Until…" again after Escape', async () => {
    show(status());
    const until = await press(/until a time$/);
    await userEvent.keyboard('{Escape}');
    expect(until).toHaveFocus();
  });

  test("goes to the field once the administrator's value is taken", async () => {
    const { show: change } = panel(status());
    document.querySelectorAll('details').forEach(each => (each.open = true));
    await press(/^Use the administrator's value: Warn before/);
    const { warning_time } = settings();
    change(status(), {
      settings: settings({
        warning_time: { ...warning_time, source: 'admin', user: null }
      })
    });
    const field = screen.getByLabelText('Warn before a shutdown by');
    await waitFor(() => expect(field).toHaveFocus());
  });

  test('stays on "Save" once it is saved', async () => {
    const { show: change } = panel(status());
    document.querySelectorAll('details').forEach(each => (each.open = true));
    const label = 'Shut down after an idle time of';
    await userEvent.clear(screen.getByLabelText(label));
    await userEvent.type(screen.getByLabelText(label), '3');
    const button = await press(`Save: ${label}`);
    const { idle_timeout } = settings();
    change(status(), {
      settings: settings({ idle_timeout: { ...idle_timeout, value: 10800 } })
    });
    expect(await screen.findByText('Saved')).toBeInTheDocument();
    expect(button).toHaveFocus();
    // A disabled one would lose it.
    expect(button).toBeEnabled();
  });
});

describe('what is wrong', () => {
  test('is said once, not at every tick of what is told beside it', () => {
    const problem = { check_overdue: true, checked_at: at(-3600) };
    const { show: change } = panel(
      status({ ...problem, apps: [fixtures.undeletableApp] })
    );
    const before = alerts();
    expect(before).toHaveLength(2);
    model.seconds = 3600;
    const { undeletableApp, deniedError } = fixtures;
    const error = { ...deniedError, attempts: 4, retry_at: at(7200) };
    change(status({ ...problem, apps: [{ ...undeletableApp, error }] }));
    expect(document.body).toHaveTextContent('The last good check was 2 h ago.');
    expect(document.body).toHaveTextContent('4 attempts failed.');
    expect(alerts()).toEqual(before);
  });

  test('stopped checks are told, with since when', () => {
    const shown = show(status({ check_overdue: true, checked_at: at(-3600) }));
    expect(shown).toHaveTextContent('The last good check was 1 h ago.');
  });

  test('a problem is told with its remedy and IAM action', () => {
    const problem = {
      code: 'access_denied',
      message: 'SageMaker did not list the apps.',
      remedy: 'Ask your administrator.',
      iam_action: 'sagemaker:ListApps',
      since: at(-60)
    };
    show(status({ problems: [problem] }));
    expect(alerts()).toEqual([
      expect.stringContaining(
        'Error: SageMaker did not list the apps.Ask your administrator.Missing IAM action: sagemaker:ListApps'
      )
    ]);
  });

  test.each([
    ['lost', status(), 'The server does not answer (Failed to fetch).'],
    ['forbidden', null, 'Reload it to log in again.'],
    ['missing', null, 'has no SageMaker AutoShutdown extension']
  ] as const)('a connection that is %s', (connection, shown, text) => {
    const panel = show(shown, {
      connection,
      connectionError: 'Failed to fetch'
    });
    expect(panel).toHaveTextContent(text);
  });

  test.each(['lost', 'forbidden'] as const)(
    'a space that was shut down is no connection that is %s',
    connection => {
      const going = { ...fixtures.goingApp, app_type: 'JupyterLab' as const };
      const panel = show(status({ host: 'space', apps: [going] }), {
        connection
      });
      expect(panel).toHaveTextContent('This server was shut down.');
      expect(alerts()).toHaveLength(1);
    }
  );

  test('off SageMaker the panel says why it is empty', () => {
    const panel = show(fixtures.nowhere);
    expect(panel).toHaveTextContent('does not run on SageMaker');
    expect(screen.queryByRole('button')).toBeNull();
  });
});

describe('costs', () => {
  test('are shown with their idle share; what was avoided is called an estimate', () => {
    const panel = show(status());
    const row = screen.getByRole('row', { name: /Last 30 days/ });
    expect(row).toHaveTextContent('≈ $44.3037%');
    expect(panel).toHaveTextContent('(an estimate): ≈ $0.80 today');
    expect(panel).toHaveTextContent('Without 1 h 30 min of instances');
  });

  test('the chart has thirty days, and is told to who can not see it', () => {
    const panel = show(status());
    const chart = screen.getByRole('img', { name: /last 30 days: \$44\.30/ });
    expect(within(panel).getAllByText(/in use .*, idle/)).toHaveLength(30);
    expect(chart).toHaveAccessibleName(/37% idle\. The highest day was/);
  });

  test('the days can be read without a mouse', async () => {
    show(status());
    await userEvent.click(screen.getByText('Day by day'));
    const row = screen.getByRole('row', { name: /Sep 18/ });
    expect(row).toHaveTextContent('Sep 18$2.00$1.50');
    const table = within(row.closest('table') as HTMLElement);
    expect(table.getAllByRole('row')).toHaveLength(1 + 20);
  });

  test('a month of 31 days tells what was guessed, though 30 days were seen', () => {
    const { money } = fixtures;
    const totals = {
      today: money(),
      month: money({ estimated: true }),
      last_30_days: money()
    };
    const panel = show(status({ totals }));
    expect(panel).toHaveTextContent('≈ Part of it was not seen');
  });

  test('nothing recorded is told, not shown as nothing spent', () => {
    const panel = show(status({ totals: null }));
    expect(panel).toHaveTextContent('Nothing is recorded yet.');
    expect(screen.queryByRole('img')).toBeNull();
  });
});

describe('limits', () => {
  const LABEL = 'Shut down after an idle time of';

  function form(shown: Settings = settings()): void {
    const { container } = render(
      <SettingsForm settings={shown} context={context} change={change} />
    );
    container.querySelector('details')?.setAttribute('open', '');
  }

  async function enter(value: string): Promise<void> {
    const field = screen.getByLabelText(LABEL);
    await userEvent.clear(field);
    await userEvent.type(field, value);
    await userEvent.click(
      screen.getByText('Save', { selector: `[aria-label="Save: ${LABEL}"]` })
    );
  }

  test('are sent in seconds, only the one that was changed', async () => {
    form();
    await enter('1.5');
    expect(change).toHaveBeenCalledWith({ idle_timeout: 5400 });
    expect(await screen.findByText('Saved')).toBeInTheDocument();
  });

  test.each(['5', '0', '-1'])('%s h is refused in place', async value => {
    form();
    await enter(value);
    expect(screen.getByLabelText(LABEL)).toBeInvalid();
    expect(screen.getByText('Allowed is: 10 min to 4 h.')).toBeVisible();
    expect(change).not.toHaveBeenCalled();
  });

  test('what only the server refuses is said at its field', async () => {
    const errors = { idle_timeout: 'must be from 600 to 14400 seconds' };
    change.mockRejectedValue(new RequestError(400, 'no', errors));
    form();
    await enter('3');
    expect(await screen.findByText(errors.idle_timeout)).toBeInTheDocument();
    expect(screen.getByLabelText(LABEL)).toBeInvalid();
  });

  test('what was refused is forgotten as soon as it is mended', async () => {
    form();
    await enter('5');
    await userEvent.clear(screen.getByLabelText(LABEL));
    expect(screen.getByLabelText(LABEL)).toBeValid();
    await enter('5');
    expect(screen.getByLabelText(LABEL)).toBeInvalid();
    await userEvent.selectOptions(
      screen.getByLabelText(`Unit of: ${LABEL}`),
      'minutes'
    );
    expect(screen.getByLabelText(LABEL)).toBeValid();
  });

  test("the administrator's value is one press away", async () => {
    form();
    const name = "Use the administrator's value: Warn before a shutdown by";
    await userEvent.click(screen.getByLabelText(name));
    expect(change).toHaveBeenCalledWith({ warning_time: null });
  });

  test('what is fixed is greyed out with the reason', () => {
    form();
    const box = screen.getByLabelText(/An open terminal/);
    expect(box).toBeDisabled();
    expect(box).toHaveAccessibleDescription(
      /Your administrator has fixed this setting\./
    );
  });

  test('a switch is sent at once', async () => {
    form();
    await userEvent.click(screen.getByLabelText(/An open browser tab/));
    expect(change).toHaveBeenCalledWith({ ignore_connections: false });
  });

  test('changes that do not survive a restart are told', () => {
    form(settings({ saved: false }));
    expect(screen.getByText(/they end when the server restarts/)).toBeVisible();
  });
});

describe('the status bar', () => {
  const openPanel = jest.fn();

  function bar(shown: Status): HTMLElement {
    render(
      <StatusBarView
        status={shown}
        connection="connected"
        context={context}
        open={openPanel}
      />
    );
    return screen.getByRole('button');
  }

  test('tells the next of several shutdowns, and the cost of all', () => {
    const apps = [app(), fixtures.warnedApp];
    const item = bar(status({ apps }));
    expect(item).toHaveTextContent('Shutdown in 4:32 · $0.7864/h');
    expect(item).toHaveAccessibleName(/pytorch-2.0.0-gpu-py310 will be shut/);
  });

  test('tells that something is wrong, not by colour alone', () => {
    const item = bar(status({ apps: [fixtures.undeletableApp] }));
    expect(item).toHaveTextContent('! $0.05/h');
    expect(item).toHaveAccessibleName(/Something is wrong/);
  });

  test('tells no cost of zero before the server has looked', () => {
    const item = bar(status({ apps: [], checked_at: null }));
    expect(item).toHaveTextContent(/^–$/);
    expect(item).toHaveAccessibleName(/It is not known what runs\.$/);
  });

  test('tells no shutdown in dry run', () => {
    expect(bar(status({ dry_run: true }))).toHaveTextContent(/^\$0\.05\/h$/);
  });

  test('opens the panel', async () => {
    await userEvent.click(bar(status()));
    expect(openPanel).toHaveBeenCalledTimes(1);
  });
});
