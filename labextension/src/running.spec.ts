import { nullTranslator } from '@jupyterlab/translation';

import { CommandIDs } from './commands';
import { RunningApps } from './running';
import { FakeModel } from './testing/fakes';
import * as fixtures from './testing/fixtures';

const { app, status } = fixtures;
const execute = jest.fn<Promise<unknown>, unknown[]>();
let model: FakeModel;
let apps: RunningApps;

beforeEach(() => {
  execute.mockReset().mockResolvedValue(undefined);
  model = new FakeModel();
  apps = new RunningApps(model, nullTranslator.load(''), execute);
});

test('"Shut Down All" of the kernels shuts no app down', () => {
  apps.shutdownAll();
  expect(execute).not.toHaveBeenCalled();
  expect(model.shutDown).not.toHaveBeenCalled();
});

test('each app has a button of its own, which asks first', () => {
  const [item] = apps.running();
  expect(item?.label()).toBe('datascience-1.0');
  item?.shutdown?.();
  expect(execute).toHaveBeenCalledWith(CommandIDs.shutDown, {
    appName: app().app_name
  });
});

test.each([
  ['in dry run', status({ dry_run: true })],
  ['on its way', status({ apps: [fixtures.goingApp] })]
])('there is no button for what can not be shut down: %s', (_, shown) => {
  model.show(shown);
  expect(apps.running()[0]?.shutdown).toBeUndefined();
});

test('the list is drawn anew when it changes, not at every answer', () => {
  const changed = jest.fn();
  model.show(status());
  apps.runningChanged.connect(changed);
  model.show(status({ now: fixtures.at(60) }));
  expect(changed).not.toHaveBeenCalled();
  model.show(status({ apps: [] }));
  expect(changed).toHaveBeenCalledTimes(1);
  expect(apps.running()).toEqual([]);
});
