import { nullTranslator } from '@jupyterlab/translation';
import { act, render, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import * as React from 'react';

import { RequestError } from '../client';
import { Ticker } from '../clock';
import type { App, Settings, State, Status } from '../openapi';
import { FakeModel } from '../testing/fakes';
import * as fixtures from '../testing/fixtures';
import type { IContext } from './context';
import { roundUp } from './CostChart';
import { PanelView } from './PanelView';
import { SettingsForm } from './SettingsForm';
import { StatusBarView } from './StatusBarView';

const { app, at, settings, status } = fixtures;
const trans = nullTranslator.load('');

const actions = {
  keepAlive: jest.fn<Promise<void>, unknown[]>(),
  keepLonger: jest.fn<Promise<void>, unknown[]>(),
  endKeepAlive: jest.fn<Promise<void>, unknown[]>(),
  shutDown: jest.fn<Promise<boolean>, unknown[]>()
};
const change = jest.fn<Promise<void>, unknown[]>();
const refresh = jest.fn<Promise<void>, unknown[]>();
const help = jest.fn();
let model: FakeModel;
let context: IContext;

beforeEach(() => {
  jest.resetAllMocks();
  actions.keepAlive.mockResolvedValue();
  actions.keepLonger.mockResolvedValue();
  actions.endKeepAlive.mockResolvedValue();
  actions.shutDown.mockResolvedValue(true);
  change.mockResolvedValue();
  refresh.mockResolvedValue();
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
      history={fixtures.history().events}
      ended={null}
      documentsText=""
      studioUrl={null}
      savingText=""
      context={context}
      header={{ refresh, help }}
      changeSettings={change}
      {...more}
    />
  );
}

function show(shown: Status | null, more: More = {}): HTMLElement {
  return render(view(shown, more)).container;
}

/** A panel whose props can be changed. */
function panel(shown: Status): { show: (next: Status, more?: More) => void } {
  const { rerender } = render(view(shown, {}));
  return { show: (next, more = {}) => rerender(view(next, more)) };
}

/** Open the details of the first app. */
async function openDetails(): Promise<void> {
  const [first] = screen.getAllByRole('button', { name: /^Details of/ });
  if (first) {
    await userEvent.click(first);
  }
}

/** The error messages. Fields have a place for their own, which is usually empty. */
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
      'A cell has been running for 2 h in train.ipynb.'
    ],
    [
      'busy',
      app({
        state: 'busy',
        reason: 'detached_job',
        subject: 'python train.py'
      }),
      'python train.py has been running outside of any terminal or notebook for 1 h.'
    ],
    ['active', fixtures.activeApp, 'Idle 2 min of 2 h'],
    ['idle', app(), 'Idle 1 h of 2 h'],
    ['warned', fixtures.warnedApp, 'Idle 1 h 55 min of 2 h'],
    ['kept', fixtures.keptApp, 'Kept until'],
    [
      'shutting_down',
      fixtures.goingApp,
      'SageMaker has been shutting it down for 1 min.'
    ],
    ['failed', fixtures.undeletableApp, 'SageMaker refused the shutdown'],
    ['active', fixtures.startingApp, 'Starting'],
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
      const shown = show(
        status({ apps: [app({ reason, since: null, idle_since: null })] })
      );
      const sentence = shown.querySelector('.jp-AutoShutdown-app p');
      expect(sentence?.textContent).toMatch(/^[A-Z].*\.$/);
    }
  });

  test('a reason or a state of a newer server is shown as the server says it', () => {
    const strange = app({
      reason: 'moon_phase' as 'dry_run',
      reason_text: 'the moon is full',
      subject: 'night.ipynb',
      idle_since: null,
      state: 'waxing' as 'idle'
    });
    const shown = show(status({ apps: [strange] }));
    expect(shown).toHaveTextContent('The moon is full: night.ipynb.');
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
    expect(screen.getByRole('timer')).toHaveTextContent('Shutting down');
    jest.useRealTimers();
  });

  test('a failed shutdown names the missing IAM action once, and the next try', () => {
    const shown = show(status({ apps: [fixtures.undeletableApp] }));
    expect(shown.textContent?.match(/sagemaker:DeleteApp/g)).toHaveLength(1);
    expect(shown).toHaveTextContent('3 attempts failed. The next one is at');
    expect(screen.queryByRole('timer')).toBeNull();
  });

  test('an app that is gone is not shown, though SageMaker lists it for a day', () => {
    const gone = app({ status: 'Deleted', state: 'shutting_down' });
    const shown = show(status({ apps: [gone], instances: [] }));
    expect(shown).toHaveTextContent('Nothing running');
  });

  test.each([{ checked_at: null }, { check_overdue: true }])(
    'a server that could not look (%j) is not taken for one where nothing runs or costs',
    unseen => {
      const shown = show(status({ apps: [], ...unseen }));
      expect(shown).toHaveTextContent('What runs is unknown');
      expect(shown).not.toHaveTextContent('Nothing running');
      expect(shown).not.toHaveTextContent('$0.00/h');
    }
  );

  test('one that failed to start costs nothing and can not be acted upon', () => {
    show(status({ apps: [fixtures.brokenApp] }));
    expect(screen.getByText('Not billed now')).toBeInTheDocument();
    expect(screen.queryByRole('button', { name: /^Shut down/ })).toBeNull();
  });

  test('whose price it is, and of when, stands in the details', async () => {
    const panel = show(status());
    expect(panel).not.toHaveTextContent('bundled price list');
    await openDetails();
    expect(panel).toHaveTextContent(
      'Price: $0.05/h, bundled price list, 2026-08-15'
    );
  });

  test('a price that is a guess is marked as one', () => {
    const instance = fixtures.instance({ price_source: 'estimate' });
    const panel = show(status({ instances: [instance] }));
    expect(panel).toHaveTextContent('≈ $0.05/h');
  });

  test('the full name of an app needs no mouse', async () => {
    show(status({ apps: [fixtures.warnedApp] }));
    await openDetails();
    const { app_name } = fixtures.warnedApp;
    expect(screen.getByText(`Name: ${app_name}`)).toBeInTheDocument();
  });

  test("a kernel's state is told in the user's language", async () => {
    const work = fixtures.work({ state: 'autorestarting' });
    const panel = show(status({ apps: [app({ work: [work] })] }));
    await openDetails();
    expect(panel).toHaveTextContent('kernel · restarting by itself');
  });

  test('what kind of thing is in use is told in words', async () => {
    const work = fixtures.work({ kind: 'web_app', label: 'streamlit' });
    const panel = show(status({ apps: [app({ work: [work] })] }));
    await openDetails();
    expect(panel).toHaveTextContent('web app');
  });

  test('what was seen of a program is told as the server says it, of a new kind as well', async () => {
    const seen = fixtures.work({
      kind: 'quantum' as 'process',
      label: 'GPU 0',
      state: '',
      evidence: [
        { kind: 'gpu', text: 'python train.py: 88 % of GPU 0', at: null }
      ]
    });
    const panel = show(status({ apps: [app({ work: [seen] })] }));
    await openDetails();
    expect(panel).toHaveTextContent('python train.py: 88 % of GPU 0');
  });

  test("a kernel's name opens its notebook", async () => {
    const openDocument = jest.fn();
    context = { ...context, openDocument };
    show(status({ apps: [fixtures.busyApp] }));
    await openDetails();
    await userEvent.click(screen.getByRole('button', { name: 'train.ipynb' }));
    expect(openDocument).toHaveBeenCalledWith('train.ipynb');
    expect(screen.queryByRole('button', { name: 'Terminal 1' })).toBeNull();
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
    expect(names).toContain('Shut down datascience-1.0 on ml.t3.medium');
    expect(names).toContain('Shut down datascience-1.0 (b)');
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
    change(on([app(), other]));
    expect(document.querySelectorAll('.jp-AutoShutdown-app')[0]).toBe(first);
  });

  test('an instance without a price is told so, not shown as free', () => {
    const instance = fixtures.instance({
      usd_per_hour: null,
      price_source: 'unpriced'
    });
    const shown = show(status({ instances: [instance] }));
    expect(shown).toHaveTextContent('Price unknown');
    expect(shown).not.toHaveTextContent('$0.00');
  });

  test('one price that is missing does not hide the others', () => {
    const instances = [
      fixtures.instance(),
      fixtures.instance({ usd_per_hour: null, price_source: 'unpriced' })
    ];
    expect(show(status({ instances }))).toHaveTextContent(
      '$0.05/h + 1 without a price'
    );
  });

  test('a busy app that is kept as well does not go when that ends', () => {
    const kept_until = at(1800);
    for (const held of [fixtures.busyApp, fixtures.unseenApp]) {
      const panel = show(status({ apps: [{ ...held, kept_until }] }));
      expect(panel).not.toHaveTextContent(/Shuts down in| left/);
      expect(panel).toHaveTextContent('Kept until 12:30 PM');
    }
  });

  test('what keeps it up is in the details where the card tells something else', async () => {
    const kept_until = at(1800);
    const panel = show(status({ apps: [{ ...fixtures.busyApp, kept_until }] }));
    expect(panel).not.toHaveTextContent('A cell has been running');
    await openDetails();
    expect(panel).toHaveTextContent('A cell has been running for 2 h');
  });

  test('no sentence stands twice in a card', async () => {
    const panel = show(status({ apps: [fixtures.busyApp] }));
    await openDetails();
    expect(panel.textContent?.match(/A cell has been running/g)).toHaveLength(
      1
    );
  });

  test('while checks have stopped, nothing is said to go', () => {
    const panel = show(status({ check_overdue: true }));
    expect(panel).toHaveTextContent('Checks have stopped $0.05/h');
    expect(panel).not.toHaveTextContent(/Shuts down in| left/);
  });

  test('a limit that counts from when the browser was closed is not told as idle time', () => {
    const closed = app({
      limit: 'closed_idle_timeout',
      idle_timeout: 600,
      shutdown_at: at(300)
    });
    const panel = show(status({ apps: [closed] }));
    expect(panel).toHaveTextContent('Idle 1 h, no browser open');
    expect(panel.querySelector('.jp-AutoShutdown-meter div')).toHaveStyle({
      width: '50.0%'
    });
  });

  test.each([
    ['deep/in/folders/train.ipynb', 'Busy: train.ipynb'],
    ['my work/the first.ipynb', 'Busy: the first.ipynb'],
    ['rsync -a /data host:/backup/x', 'Busy: rsync -a /data host:/backup/x'],
    ['http://127.0.0.1:8889/lab', 'Busy: http://127.0.0.1:8889/lab']
  ])('%s is named as short as it can be', (subject, headline) => {
    const busy = { ...fixtures.busyApp, subject };
    expect(show(status({ apps: [busy] }))).toHaveTextContent(headline);
  });

  test('dry run warns of nothing that comes soon', () => {
    const shown = show(status({ dry_run: true, apps: [fixtures.warnedApp] }));
    expect(shown).toHaveTextContent('Overdue');
    expect(shown).not.toHaveTextContent(/soon|left/i);
  });
});

describe('actions', () => {
  test('"Keep 1 h" is the main button while warned, and quiet else', async () => {
    show(status({ apps: [fixtures.warnedApp] }));
    const keep = screen.getByRole('button', { name: /^Keep .* for 1 h$/ });
    expect(keep).toHaveTextContent('Keep 1 h');
    expect(keep).toHaveClass('jp-AutoShutdown-main');
    await userEvent.click(keep);
    expect(actions.keepLonger).toHaveBeenCalledWith(fixtures.warnedApp);
    expect(screen.getByRole('button', { name: /^Shut down/ })).toHaveClass(
      'jp-AutoShutdown-quiet'
    );
  });

  test('a mark of the fleet is told, wherever its app stands, with what keeps it', () => {
    const mark = {
      shutdown_at: fixtures.at(20 * 60),
      rule: 'gpus',
      why: 'up for 3 h'
    };
    for (const [shown, more] of [
      [app({ mark }), {}],
      [{ ...fixtures.busyApp, mark }, {}],
      [app({ mark }), { dry_run: true }],
      [app({ mark }), { check_overdue: true }]
    ] as const) {
      const { container, unmount } = render(
        view(status({ apps: [shown], ...more }), {})
      );
      expect(container).toHaveTextContent(
        'The fleet\'s rule "gpus" shuts this down at 12:20 PM.'
      );
      expect(screen.getByTitle('up for 3 h')).toBeVisible();
      expect(screen.getByRole('timer')).toHaveTextContent(
        'Shuts down in 20 min'
      );
      expect(
        screen.getByRole('button', { name: /^Keep .* for 1 h$/ })
      ).toHaveClass('jp-AutoShutdown-main');
      unmount();
    }
    const kept = show(status({ apps: [{ ...fixtures.keptApp, mark }] }));
    expect(kept).toHaveTextContent('may still shut this down at 12:20 PM.');
    expect(screen.queryByRole('timer')).toBeNull();
  });

  test('what goes by itself before the fleet comes, goes at its own time', () => {
    const mark = { shutdown_at: fixtures.at(2 * 3600), rule: 'gpus', why: '' };
    show(status({ apps: [app({ mark })] }));
    expect(screen.getByRole('timer')).toHaveTextContent('Shuts down in 1 h');
  });

  test('no keep alive is offered where none is allowed', async () => {
    show(status(), { settings: settings({ max_keep_alive: 0 }) });
    await openDetails();
    expect(screen.queryByRole('button', { name: /Keep/ })).toBeNull();
  });

  test('what is kept shows until when, counts nothing, and can be kept longer', async () => {
    const panel = show(status({ apps: [fixtures.keptApp] }));
    expect(screen.queryByRole('timer')).toBeNull();
    expect(panel).toHaveTextContent('Kept until 4:00 PM');
    const more = screen.getByRole('button', { name: /another hour/ });
    expect(more).toHaveTextContent('+1 h');
    expect(more).toHaveAttribute('title', 'Keep it until 5:00 PM');
    await userEvent.click(more);
    expect(actions.keepLonger).toHaveBeenCalledTimes(1);
  });

  test('what is kept for as long as is allowed says so, and asks for nothing', async () => {
    show(status({ apps: [fixtures.keptApp] }), {
      settings: settings({ max_keep_alive: 4 * 3600 })
    });
    const more = screen.getByRole('button', { name: /another hour/ });
    expect(more).toHaveAttribute('aria-disabled', 'true');
    expect(more.title).toMatch(/your administrator allows: 4\sh/);
    await userEvent.click(more);
    expect(actions.keepLonger).not.toHaveBeenCalled();
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
    await openDetails();
    await userEvent.click(screen.getByRole('button', { name: /until a time/ }));
    const field = screen.getByLabelText('Keep until');
    await userEvent.clear(field);
    await userEvent.type(field, '2099-01-01T00:00');
    await userEvent.click(screen.getByRole('button', { name: 'Keep' }));
    expect(alerts()).toEqual([
      expect.stringMatching(/Your administrator allows 2\sh at most/)
    ]);
    expect(field).toBeInvalid();
    expect(actions.keepAlive).not.toHaveBeenCalled();
  });

  test('in dry run nothing can be shut down, and that is said', () => {
    const shown = show(status({ dry_run: true }));
    expect(shown).toHaveTextContent('Dry run: nothing is shut down');
    expect(screen.queryByRole('button', { name: /^Shut down/ })).toBeNull();
  });
});

describe('the focus', () => {
  const KEEP = 'Keep datascience-1.0 for 1 h';

  async function press(name: string | RegExp): Promise<HTMLElement> {
    const button = screen.getByRole('button', { name });
    button.focus();
    await userEvent.keyboard('{Enter}');
    return button;
  }

  test('stays on a button while its work is done, and is done once', async () => {
    let done = (): void => undefined;
    actions.keepLonger.mockReturnValue(
      new Promise(resolve => (done = resolve))
    );
    show(status());
    const button = await press(KEEP);
    expect(button).toHaveFocus();
    expect(button).toHaveAttribute('aria-disabled', 'true');
    await userEvent.keyboard('{Enter}');
    expect(actions.keepLonger).toHaveBeenCalledTimes(1);
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
    screen.getByRole('button', { name: KEEP }).focus();
    change(status({ apps: [fixtures.warnedApp] }));
    const title = screen.getByRole('heading', { name: 'ml.g4dn.xlarge' });
    await waitFor(() => expect(title).toHaveFocus());
  });

  test('is kept while the window is in the back', async () => {
    const { show: change } = panel(status());
    screen.getByRole('button', { name: KEEP }).focus();
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
    const button = screen.getByRole('button', { name: KEEP });
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
      await openDetails();
      const until = await press(/until a time$/);
      expect(screen.getByLabelText('Keep until')).toHaveFocus();
      await press(name);
      expect(until).toHaveFocus();
    }
  );

  test('is on "Until…" again after Escape', async () => {
    show(status());
    await openDetails();
    const until = await press(/until a time$/);
    await userEvent.keyboard('{Escape}');
    expect(until).toHaveFocus();
  });

  test("goes to the field once the administrator's value is taken", async () => {
    const { show: change } = panel(status());
    document.querySelectorAll('details').forEach(each => (each.open = true));
    await press(/^Use the administrator's value: Warning before/);
    const { warning_time } = settings();
    change(status(), {
      settings: settings({
        warning_time: { ...warning_time, source: 'admin', user: null }
      })
    });
    const field = screen.getByLabelText('Warning before a shutdown');
    await waitFor(() => expect(field).toHaveFocus());
  });

  test('stays on "Save" once it is saved', async () => {
    const { show: change } = panel(status());
    document.querySelectorAll('details').forEach(each => (each.open = true));
    const label = 'Idle limit';
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
  test('is said once, not at every tick of the text beside it', () => {
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

  test('a problem is told with its remedy', () => {
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
        'Error: SageMaker did not list the apps. Ask your administrator.'
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

  test('a space that was shut down is no error, costs nothing, and can be opened again', () => {
    const ended = { at: Date.parse(at(0)), reason: 'idle_timeout' } as const;
    const panel = show(status({ host: 'space', apps: [fixtures.spaceApp] }), {
      connection: 'lost',
      ended: { ...ended, idleSeconds: 7200 },
      documentsText: 'Documents were saved.',
      studioUrl: 'https://studio-d-x.studio.us-east-2.sagemaker.aws/jupyterlab'
    });
    expect(panel).toHaveTextContent(
      'This JupyterLab was shut down at 12:00 PM after 2 h idle. Documents were saved.'
    );
    expect(screen.getByRole('link')).toHaveAttribute(
      'href',
      expect.stringContaining('studio-d-x')
    );
    expect(panel).not.toHaveTextContent(/\$|Shutting down|Error/);
    expect(alerts()).toEqual([]);
  });

  test('off SageMaker the panel says why it is empty', () => {
    const panel = show(fixtures.nowhere);
    expect(panel).toHaveTextContent('does not run on SageMaker');
    expect(panel.querySelector('section')).toBeNull();
  });
});

describe('costs', () => {
  test('the benefit leads, as an estimate; what sums leave out is behind one button', async () => {
    const panel = show(status());
    const row = screen.getByRole('row', { name: /Last 30 days/ });
    expect(row).toHaveTextContent('≈ $44.30$16.30');
    expect(panel).toHaveTextContent('CostsAbout $8.75 saved in 30 days');
    expect(panel).not.toHaveTextContent('1 h 30 min of instances');
    await userEvent.click(
      screen.getByRole('button', { name: 'About these figures' })
    );
    expect(panel).toHaveTextContent('Not included: 1 h 30 min of instances');
  });

  test('a day of the chart is read off by keyboard; today is as the totals have it', async () => {
    const { money } = fixtures;
    const totals = {
      ...fixtures.totals,
      today: money({ usd: '0.06', in_use_usd: '0.02', idle_usd: '0.04' })
    };
    const panel = show(status({ totals }));
    const chart = screen.getByRole('slider', { name: 'Cost by day' });
    expect(chart).toHaveAttribute(
      'aria-valuetext',
      'Fri, Sep 18: in use $0.02, idle $0.04'
    );
    act(() => chart.focus());
    await userEvent.keyboard('{ArrowLeft}');
    expect(chart).toHaveAttribute(
      'aria-valuetext',
      'Thu, Sep 17: in use $1.70, idle $0.40'
    );
    expect(panel).toHaveTextContent('Thu, Sep 17: in use $1.70, idle $0.40');
    await userEvent.keyboard('{Home}');
    expect(chart).toHaveAttribute('aria-valuenow', '0');
  });

  test.each([
    [0.06, 0.1],
    [0.001, 0.01],
    [2.3, 2.5],
    [3.5, 5],
    [10, 10]
  ])('an axis for %d ends at %d', (highest, top) => {
    expect(roundUp(highest)).toBeCloseTo(top, 10);
  });

  test('a month of 31 days tells what was guessed, though 30 days were seen', async () => {
    const { money } = fixtures;
    const totals = {
      today: money(),
      month: money({ estimated: true }),
      last_30_days: money()
    };
    const panel = show(status({ totals }));
    await userEvent.click(
      screen.getByRole('button', { name: 'About these figures' })
    );
    expect(panel).toHaveTextContent('≈ Some of this was estimated');
  });

  test('nothing recorded is told, not shown as nothing spent', () => {
    const panel = show(status({ totals: null }));
    expect(panel).toHaveTextContent('Nothing is recorded yet.');
    expect(screen.queryByRole('slider')).toBeNull();
  });
});

describe('what happened', () => {
  test('a shutdown that went unseen is told, with what it saved', () => {
    const panel = show(status({ apps: [] }));
    expect(panel).toHaveTextContent(
      /Thu.* 8:00 PM · pytorch-2-0 shut down after 2 h idle, about \$1\.47 saved/
    );
    // Events that only led up to it are not shown.
    expect(panel).not.toHaveTextContent('warning');
  });

  test.each([
    ['pytorch-2-0-0-gpu-py310-ml-g4dn-xl', 'pytorch-2-0-0-gpu-py310'],
    [
      'an-image-with-a-name-as-long-as-th',
      'an-image-with-a-name-as-long-as-th'
    ],
    ['ml-m5-large', 'ml-m5-large']
  ])(
    'the name of an app that is gone is read without its hash: %s',
    (name, shown) => {
      const hash = 'd3a2137a37319e22bbb9118a3492';
      const gone = fixtures.event({ app_name: `${name}-${hash}` });
      const panel = show(status({ apps: [] }), { history: [gone] });
      expect(panel).toHaveTextContent(`${shown} shut down after`);
    }
  );

  test('the rest is one press away', async () => {
    const panel = show(status());
    expect(panel).not.toHaveTextContent('could not be shut down');
    await userEvent.click(screen.getByRole('button', { name: 'Show more' }));
    expect(panel).toHaveTextContent('could not be shut down');
  });
});

describe('limits', () => {
  const LABEL = 'Idle limit';

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
    expect(screen.getByText('Allowed: 10 min to 4 h.')).toBeVisible();
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

  test('what may be left out is left out by emptying its field', async () => {
    const { closed_idle_timeout } = settings();
    const set = { ...closed_idle_timeout, value: 1800, user: 1800 };
    form(settings({ closed_idle_timeout: { ...set, source: 'user' } }));
    const label = 'Idle limit with no browser open';
    await userEvent.clear(screen.getByLabelText(label));
    await userEvent.click(screen.getByLabelText(`Save: ${label}`));
    expect(change).toHaveBeenCalledWith({ closed_idle_timeout: null });
  });

  test("the administrator's value is one press away", async () => {
    form();
    const name = "Use the administrator's value: Warning before a shutdown";
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
    // The box says what counts, the setting what does not.
    expect(change).toHaveBeenCalledWith({ ignore_connections: false });
  });

  test('changes that do not survive a restart are told', () => {
    form(settings({ saved: false }));
    expect(screen.getByText(/they end when the server restarts/)).toBeVisible();
  });
});

describe('the status bar', () => {
  const toggle = jest.fn();
  const keep = jest.fn();

  type Bar = Partial<React.ComponentProps<typeof StatusBarView>>;

  function bar(shown: Status, more: Bar = {}): HTMLElement {
    render(
      <StatusBarView
        status={shown}
        connection="connected"
        ended={null}
        mayKeep
        context={context}
        toggle={toggle}
        keep={keep}
        {...more}
      />
    );
    return screen.getByRole('button', { name: /^SageMaker AutoShutdown:/ });
  }

  test('tells the next of several shutdowns, and the cost of all', () => {
    const apps = [app(), fixtures.warnedApp];
    const item = bar(status({ apps }));
    expect(item).toHaveTextContent('Stops in 4:32 · $0.79/h');
    expect(item).toHaveAccessibleName(/pytorch-2.0.0-gpu-py310 will be shut/);
  });

  test.each<[Partial<Status>, RegExp]>([
    [{ apps: [fixtures.busyApp] }, /^Busy · \$0\.05\/h$/],
    [{ apps: [fixtures.keptApp] }, /^Kept 4 h · \$0\.05\/h$/],
    [{ apps: [fixtures.goingApp] }, /^Shutting down · /],
    [{ dry_run: true }, /^Dry run · \$0\.05\/h$/],
    [{ apps: [] }, /^Nothing running$/],
    [{ apps: [fixtures.unseenApp] }, /^Activity unknown · /],
    [{ apps: [fixtures.undeletableApp] }, /^! Not shut down · \$0\.05\/h$/],
    [{ apps: [], checked_at: null }, /^Not yet known$/],
    [
      {
        instances: [
          fixtures.instance({ usd_per_hour: null, price_source: 'unpriced' })
        ]
      },
      /^Stops in 1 h · Price unknown$/
    ]
  ])('explains itself: %#', (changes, text) => {
    expect(bar(status(changes))).toHaveTextContent(text);
  });

  test('says what ended, and no price', () => {
    const ended = {
      at: Date.parse(at(0)),
      reason: 'idle_timeout',
      idleSeconds: 7200
    } as const;
    const going = status({ host: 'space', apps: [fixtures.spaceApp] });
    const item = bar(going, { ended, connection: 'lost' });
    expect(item).toHaveTextContent(/^Shut down 12:00 PM$/);
  });

  test('offers an hour more once it is warned, where that is allowed', async () => {
    bar(status({ apps: [fixtures.warnedApp] }));
    await userEvent.click(screen.getByText('+1 h'));
    expect(keep).toHaveBeenCalledWith(fixtures.warnedApp);
  });

  test.each([
    [[fixtures.warnedApp], false],
    [[app()], true]
  ])('offers no hour more else: %#', (apps, mayKeep) => {
    bar(status({ apps }), { mayKeep });
    expect(screen.queryByText('+1 h')).toBeNull();
  });

  test('opens and closes the panel', async () => {
    await userEvent.click(bar(status()));
    expect(toggle).toHaveBeenCalledTimes(1);
  });
});
