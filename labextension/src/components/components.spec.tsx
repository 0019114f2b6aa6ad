import { nullTranslator } from '@jupyterlab/translation';
import { act, render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import * as React from 'react';

import { RequestError } from '../client';
import { Ticker } from '../clock';
import type { Settings, State, Status } from '../openapi';
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

function show(
  shown: Status | null,
  more: Partial<React.ComponentProps<typeof PanelView>> = {}
): HTMLElement {
  const { container } = render(
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
  return container;
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

  test('one that failed to start costs nothing and can not be acted upon', () => {
    show(status({ apps: [fixtures.brokenApp] }));
    expect(screen.getByText('Not billed now')).toBeInTheDocument();
    expect(screen.queryByRole('button', { name: /^Shut down/ })).toBeNull();
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

describe('what is wrong', () => {
  test('stopped checks are told, with since when', () => {
    const shown = show(status({ check_overdue: true, checked_at: at(-3600) }));
    expect(shown).toHaveTextContent('the last good one was 1 h ago');
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

  test('a space that was shut down is no lost connection', () => {
    const going = { ...fixtures.goingApp, app_type: 'JupyterLab' as const };
    const panel = show(status({ host: 'space', apps: [going] }), {
      connection: 'lost'
    });
    expect(panel).toHaveTextContent('This server was shut down.');
  });

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
    expect(row).toHaveTextContent('≈ $30.1033%');
    expect(panel).toHaveTextContent('(an estimate): ≈ $0.80 today');
    expect(panel).toHaveTextContent('Without 1 h 30 min of instances');
  });

  test('the chart has thirty days, and is told to who can not see it', () => {
    const panel = show(status());
    const chart = screen.getByRole('img', { name: /last 30 days: \$30\.10/ });
    expect(within(panel).getAllByText(/in use .*, idle/)).toHaveLength(30);
    expect(chart).toHaveAccessibleName(/33% idle\. The highest day was/);
  });

  test('nothing recorded is told, not shown as nothing spent', () => {
    const panel = show(status({ totals: null }), { costs: null });
    expect(panel).toHaveTextContent('Nothing is recorded yet.');
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

  test('tells no shutdown in dry run', () => {
    expect(bar(status({ dry_run: true }))).toHaveTextContent(/^\$0\.05\/h$/);
  });

  test('opens the panel', async () => {
    await userEvent.click(bar(status()));
    expect(openPanel).toHaveBeenCalledTimes(1);
  });
});
