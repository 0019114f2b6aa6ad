import { Widget } from '@lumino/widgets';

import { DocumentSaver } from './saver';
import { FakeDisplay, FakeModel } from './testing/fakes';
import { app, at, busyApp, spaceApp, status } from './testing/fixtures';

interface IDocument {
  path: string;
  model: { dirty: boolean; readOnly: boolean };
  save: jest.Mock<Promise<void>, []>;
}

let model: FakeModel;
let display: FakeDisplay;
let open: Map<Widget, IDocument>;

function document(path: string, changes = {}): IDocument {
  const opened: IDocument = {
    path,
    model: { dirty: true, readOnly: false, ...changes },
    save: jest.fn(() => Promise.resolve())
  };
  open.set(new Widget(), opened);
  return opened;
}

function saver(): DocumentSaver {
  return new DocumentSaver({
    model,
    display,
    documents: {
      contextForWidget: (widget: Widget) => open.get(widget)
    } as unknown as DocumentSaver.IOptions['documents'],
    widgets: () => [...open.keys(), new Widget()]
  });
}

/** Let time pass for the timers and the server's clock alike. */
async function pass(seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    model.seconds += 1;
    await jest.advanceTimersByTimeAsync(1000);
  }
}

beforeEach(() => {
  jest.useFakeTimers();
  open = new Map();
  model = new FakeModel();
  display = new FakeDisplay();
  model.show(status({ host: 'space', apps: [spaceApp] }));
});

afterEach(() => jest.useRealTimers());

test('what is unsaved is saved, and nothing else', async () => {
  const dirty = document('a.ipynb');
  const clean = document('b.ipynb', { dirty: false });
  const fixed = document('c.txt', { readOnly: true });
  expect(await saver().saveAll()).toEqual([]);
  expect(dirty.save).toHaveBeenCalledTimes(1);
  expect(clean.save).not.toHaveBeenCalled();
  expect(fixed.save).not.toHaveBeenCalled();
});

test('a document that is open twice is saved once', async () => {
  const opened = document('a.ipynb');
  open.set(new Widget(), opened);
  await saver().saveAll();
  expect(opened.save).toHaveBeenCalledTimes(1);
});

test('one that can not be saved is named, and keeps none from being saved', async () => {
  const warn = jest.spyOn(console, 'warn').mockImplementation();
  document('a.ipynb').save.mockRejectedValue(new Error('disk full'));
  const other = document('b.ipynb');
  expect(await saver().saveAll()).toEqual(['a.ipynb']);
  expect(other.save).toHaveBeenCalled();
  expect(warn).toHaveBeenCalled();
  warn.mockRestore();
});

test('documents are saved shortly before the deadline, and again for who writes on', async () => {
  const opened = document('a.ipynb');
  const watching = saver().watch();
  await pass(121);
  expect(opened.save).not.toHaveBeenCalled();
  await pass(2);
  expect(opened.save).toHaveBeenCalledTimes(1);
  await pass(148);
  expect(opened.save).toHaveBeenCalledTimes(4);
  watching.dispose();
});

test('that documents were saved is known still if the save put the deadline off', async () => {
  const opened = document('a.ipynb');
  opened.save.mockImplementation(() => {
    opened.model.dirty = false;
    return Promise.resolve();
  });
  const saving = saver();
  const watching = saving.watch();
  expect(saving.hasSaved).toBe(false);
  await pass(125);
  const later = { ...spaceApp, shutdown_at: at(7200) };
  model.show(status({ host: 'space', apps: [later] }));
  expect(saving.hasSaved).toBe(true);
  watching.dispose();
});

test('a page that was throttled saves as soon as it can', async () => {
  const opened = document('a.ipynb');
  const watching = saver().watch();
  model.seconds = 240;
  await jest.advanceTimersByTimeAsync(240_000);
  expect(opened.save).toHaveBeenCalledTimes(1);
  watching.dispose();
});

test('activity that this page did not hear of keeps documents from being saved for nothing', async () => {
  const opened = document('a.ipynb');
  const watching = saver().watch();
  model.refresh.mockImplementation(() => {
    model.status = status({
      host: 'space',
      apps: [{ ...spaceApp, shutdown_at: at(7000) }]
    });
    return Promise.resolve();
  });
  await pass(200);
  expect(model.refresh).toHaveBeenCalled();
  expect(opened.save).not.toHaveBeenCalled();
  watching.dispose();
});

test('without a connection documents are saved all the same, if they can be', async () => {
  const opened = document('a.ipynb');
  const watching = saver().watch();
  model.connection = 'lost';
  await pass(130);
  expect(opened.save).toHaveBeenCalled();
  watching.dispose();
});

test.each([
  ['in Studio Classic, where the server stays', { host: 'classic' as const }],
  ['in dry run', { host: 'space' as const, dry_run: true }]
])('nothing is saved %s', async (_, changes) => {
  const opened = document('a.ipynb');
  model.show(status({ apps: [spaceApp], ...changes }));
  const watching = saver().watch();
  await pass(272);
  expect(opened.save).not.toHaveBeenCalled();
  watching.dispose();
});

test('nothing is saved where the user does not want it', async () => {
  const opened = document('a.ipynb');
  display.saveBeforeShutdown = false;
  const watching = saver().watch();
  expect(saver().isNeeded).toBe(false);
  await pass(272);
  expect(opened.save).not.toHaveBeenCalled();
  watching.dispose();
});

describe('a page that nothing tells of a deadline, hidden in JupyterLab 3', () => {
  const busy = { ...spaceApp, ...busyApp, idle_timeout: 600 };
  /** The server's answers: busy for a while, then idle with a deadline. */
  let idleAt: number;

  beforeEach(() => {
    idleAt = 400;
    model.show(status({ host: 'space', apps: [busy] }));
    model.refresh.mockImplementation(() => {
      if (model.seconds >= idleAt) {
        const shutdown_at = at(idleAt + busy.idle_timeout);
        model.show(
          status({ host: 'space', apps: [{ ...spaceApp, shutdown_at }] })
        );
      }
      return Promise.resolve();
    });
  });

  test('learns of it in time to save', async () => {
    const opened = document('a.ipynb');
    const watching = saver().watch();
    await pass(idleAt + busy.idle_timeout);
    expect(opened.save).toHaveBeenCalled();
    watching.dispose();
  });

  test('asks seldom, and not before anything could have come about', async () => {
    const watching = saver().watch();
    await pass(440);
    expect(model.refresh).not.toHaveBeenCalled();
    await pass(20);
    expect(model.refresh).toHaveBeenCalledTimes(1);
    watching.dispose();
    await pass(2 * busy.idle_timeout);
    expect(model.refresh).toHaveBeenCalledTimes(1);
  });

  test('asks for nothing where there is nothing to save', async () => {
    jest.spyOn(window.document, 'hidden', 'get').mockReturnValue(true);
    const watching = saver().watch();
    await pass(idleAt + 2 * busy.idle_timeout);
    expect(model.refresh).not.toHaveBeenCalled();
    watching.dispose();
    jest.restoreAllMocks();
  });

  test('asks at most every half minute, however short the limit', async () => {
    idleAt = Infinity;
    model.show(
      status({ host: 'space', apps: [{ ...busy, idle_timeout: 10 }] })
    );
    const watching = saver().watch();
    await pass(300);
    expect(model.refresh).toHaveBeenCalledTimes(10);
    watching.dispose();
  });

  test('asks nothing where the server outlives its apps', async () => {
    model.show(status({ host: 'classic', apps: [app(), busy] }));
    const watching = saver().watch();
    await pass(3 * busy.idle_timeout);
    expect(model.refresh).not.toHaveBeenCalled();
    watching.dispose();
  });
});
