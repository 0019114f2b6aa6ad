import type { JupyterFrontEnd } from '@jupyterlab/application';
import { CommandRegistry } from '@lumino/commands';

import { CommandIDs } from '../commands';
import { FakeModel } from '../testing/fakes';
import * as fixtures from '../testing/fixtures';
import { commandsPlugin } from './commands';

const { app, status } = fixtures;
const appName = app().app_name;

let model: FakeModel;
let commands: CommandRegistry;

beforeEach(async () => {
  model = new FakeModel();
  commands = new CommandRegistry();
  await commandsPlugin.activate(
    { commands } as unknown as JupyterFrontEnd,
    model,
    null,
    null,
    null
  );
});

test('an app that is up can be kept and shut down', () => {
  expect(commands.isEnabled(CommandIDs.keepRunning)).toBe(true);
  expect(commands.isEnabled(CommandIDs.shutDown)).toBe(true);
  expect(commands.isEnabled(CommandIDs.shutDown, { appName })).toBe(true);
});

test('in dry run nothing can be shut down by a command, as nothing can in the panel', () => {
  model.show(status({ dry_run: true }));
  expect(commands.isEnabled(CommandIDs.shutDown)).toBe(false);
  expect(commands.isEnabled(CommandIDs.shutDown, { appName })).toBe(false);
});

test('which of two apps is to be shut down is not guessed', () => {
  model.show(status({ apps: [app(), fixtures.warnedApp] }));
  expect(commands.isEnabled(CommandIDs.shutDown)).toBe(false);
  expect(commands.isEnabled(CommandIDs.shutDown, { appName })).toBe(true);
});

test('nothing can be done about an app that is going, or is not known', () => {
  for (const shown of [status({ apps: [fixtures.goingApp] }), null]) {
    model.show(shown);
    expect(commands.isEnabled(CommandIDs.keepRunning)).toBe(false);
    expect(commands.isEnabled(CommandIDs.shutDown)).toBe(false);
  }
});

test('a menu hears that a command can not be used any more', () => {
  const changed: (string | undefined)[] = [];
  commands.commandChanged.connect((_, { id }) => changed.push(id));
  model.show(status({ dry_run: true }));
  expect(changed).toEqual([CommandIDs.keepRunning, CommandIDs.shutDown]);
});

test('"Keep 1 h" keeps the app that it is about, an hour longer than it would be up', async () => {
  model.show(status({ apps: [app(), fixtures.warnedApp] }));
  await commands.execute(CommandIDs.keepRunning, { appName });
  expect(model.keepAlive.mock.calls).toEqual([[appName, { seconds: 7200 }]]);
});
