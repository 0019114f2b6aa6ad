import { Dialog } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';
import { act, waitFor } from '@testing-library/react';

import { Actions } from './actions';
import { FakeModel } from './testing/fakes';
import * as fixtures from './testing/fixtures';

const { app, instance, settings, spaceApp, status } = fixtures;

let model: FakeModel;
const saver = {
  isNeeded: true,
  hasSaved: false,
  unsaved: () => [],
  saveAll: jest.fn<Promise<string[]>, []>()
};

function actions(withSaver = false): Actions {
  return new Actions(model, nullTranslator.load(''), withSaver ? saver : null);
}

/** The dialog with this text, once it is open. */
async function dialog(text: string): Promise<HTMLElement> {
  return waitFor(() => {
    const [open] = document.querySelectorAll<HTMLElement>('.jp-Dialog');
    expect(open).toHaveTextContent(text);
    return open as HTMLElement;
  });
}

function press(open: HTMLElement, label: string): void {
  const buttons = [...open.querySelectorAll('button')];
  act(() => buttons.find(button => button.textContent === label)?.click());
}

beforeEach(() => {
  model = new FakeModel();
  saver.saveAll.mockReset().mockResolvedValue([]);
});

afterEach(() => Dialog.flush());

test('what is busy is kept for an hour from now, or for as long as is allowed', async () => {
  const { app_name } = fixtures.busyApp;
  await actions().keepLonger(fixtures.busyApp);
  expect(model.keepAlive).toHaveBeenCalledWith(app_name, { seconds: 3600 });
  model.settings = settings({ max_keep_alive: 600 });
  await actions().keepLonger(fixtures.busyApp);
  expect(model.keepAlive).toHaveBeenLastCalledWith(app_name, { seconds: 600 });
});

test('a press never shortens what is kept already', async () => {
  const { app_name } = fixtures.keptApp;
  await actions().keepLonger(fixtures.keptApp);
  expect(model.keepAlive).toHaveBeenCalledWith(app_name, {
    seconds: 5 * 3600
  });
});

test('nothing is shut down that the user did not agree to', async () => {
  const asked = actions().shutDown(app());
  press(await dialog('Shut down'), 'Cancel');
  expect(await asked).toBe(false);
  expect(model.shutDown).not.toHaveBeenCalled();
});

test.each([
  ['idle', 'No kernel or terminal is open in it.'],
  ['unknown', 'Whatever runs in it ends; files are kept.']
] as const)(
  'the question about an app of which no kernel was seen (%s) says what there is to lose',
  async (state, said) => {
    const asked = actions().shutDown(app({ state, work: [] }));
    press(await dialog(said), 'Cancel');
    expect(await asked).toBe(false);
  }
);

test('the question names what still runs, and what still costs money', async () => {
  const other = app({ app_name: 'other' });
  model.show(
    status({
      apps: [fixtures.busyApp, other],
      instances: [instance({ app_names: [app().app_name, 'other'] })]
    })
  );
  const asked = actions().shutDown(fixtures.busyApp);
  const open = await dialog('Shut down');
  expect(open).toHaveTextContent('Still running: train.ipynb.');
  expect(open).toHaveTextContent('ml.t3.medium still costs money');
  press(open, 'Shut down');
  expect(await asked).toBe(true);
  expect(model.shutDown).toHaveBeenCalledWith(app().app_name);
  expect(saver.saveAll).not.toHaveBeenCalled();
});

test('in a space documents are saved before, and that is said', async () => {
  model.show(status({ host: 'space', apps: [spaceApp] }));
  const asked = actions(true).shutDown(spaceApp);
  const open = await dialog('Shut down this JupyterLab?');
  expect(open).toHaveTextContent('Unsaved documents are saved first.');
  press(open, 'Shut down');
  expect(await asked).toBe(true);
  const [saved] = saver.saveAll.mock.invocationCallOrder;
  const [ended] = model.shutDown.mock.invocationCallOrder;
  expect(saved).toBeLessThan(ended ?? 0);
});

test('what can not be saved is not lost without a word', async () => {
  saver.saveAll.mockResolvedValue(['a.ipynb']);
  model.show(status({ host: 'space', apps: [spaceApp] }));
  const asked = actions(true).shutDown(spaceApp);
  press(await dialog('Shut down'), 'Shut down');
  const second = await dialog('could not be saved: a.ipynb');
  press(second, 'Cancel');
  expect(await asked).toBe(false);
  expect(model.shutDown).not.toHaveBeenCalled();
});
