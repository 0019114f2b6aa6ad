/**
 * The fixtures and the types fit the server's own description, so that neither side drifts.
 *
 * @jest-environment node
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import Ajv from 'ajv/dist/2020';
import addFormats from 'ajv-formats';
import { parse } from 'yaml';

import { EVENT_SCHEMA } from './model';
import type { App, Money } from './openapi';
import * as fixtures from './testing/fixtures';

const API = join(__dirname, '../../sagemaker_autoshutdown/api');
const OPENAPI = join(API, 'openapi.yaml');

const ajv = new Ajv({ strict: false, allErrors: true });
addFormats(ajv);
ajv.addSchema(parse(readFileSync(OPENAPI, 'utf-8')) as object, 'openapi');

/** The errors of a value by the description's schema of that name. */
function faults(name: string, value: unknown): unknown {
  ajv.validate(`openapi#/components/schemas/${name}`, value);
  return ajv.errors;
}

const { status } = fixtures;
const examples: [string, string, unknown][] = [
  ['Status', 'a status', status()],
  ['Status', 'no host', fixtures.nowhere],
  ['Status', 'a space', status({ host: 'space', apps: [fixtures.spaceApp] })],
  ['Settings', 'settings', fixtures.settings()],
  ['Costs', 'costs', fixtures.costs()],
  ...[
    fixtures.busyApp,
    fixtures.activeApp,
    fixtures.warnedApp,
    fixtures.keptApp,
    fixtures.undeletableApp,
    fixtures.brokenApp,
    fixtures.goingApp,
    fixtures.unseenApp
  ].map((app): [string, string, unknown] => ['App', app.reason, app])
];

test.each(examples)(
  'a fixture is what the server sends: %s, %s',
  (name, _, value) => {
    expect(faults(name, value)).toBeNull();
  }
);

describe('sums that a reader of the pictures would add up', () => {
  const { totals, instances } = status({
    apps: [fixtures.warnedApp, fixtures.busyApp]
  });
  const costs = fixtures.costs();
  /** In cents, to be exact. */
  const cents = (moneys: Money[], part: 'usd' | 'in_use_usd' | 'idle_usd') =>
    moneys.reduce((sum, each) => sum + Math.round(Number(each[part]) * 100), 0);
  const PARTS = ['usd', 'in_use_usd', 'idle_usd'] as const;

  test('the days make the total, and the last is today', () => {
    for (const part of PARTS) {
      expect(cents(costs.rows, part)).toBe(cents([costs.total], part));
    }
    expect(costs.total).toEqual(totals?.last_30_days);
    const last = costs.rows[costs.rows.length - 1];
    expect(last?.key).toBe(fixtures.NOW.slice(0, 10));
    expect(last?.usd).toBe(totals?.today.usd);
  });

  test('use and idle make the cost, and its share', () => {
    const all = [
      ...costs.rows,
      ...Object.values(totals ?? {}),
      ...instances.flatMap(({ cost }) => (cost ? [cost.today] : []))
    ];
    for (const each of all) {
      expect(cents([each], 'in_use_usd') + cents([each], 'idle_usd')).toBe(
        cents([each], 'usd')
      );
      expect(each.idle_share).toBeCloseTo(
        Number(each.idle_usd) / Number(each.usd)
      );
    }
  });

  test('instances cost no more today than is said of today', () => {
    const today = instances.flatMap(({ cost }) => (cost ? [cost.today] : []));
    expect(today).toHaveLength(2);
    for (const part of PARTS) {
      const most = cents(totals ? [totals.today] : [], part);
      expect(cents(today, part)).toBeLessThanOrEqual(most);
    }
  });
});

test('the check is not blind: a member that is missing is found', () => {
  const incomplete: Partial<App> = fixtures.app();
  delete incomplete.reason;
  expect(faults('App', incomplete)).not.toBeNull();
});

test('the types are those of the description as it is now', () => {
  const generated = execFileSync(
    join(__dirname, '../node_modules/.bin/openapi-typescript'),
    [OPENAPI, '--root-types', '--root-types-no-schema-prefix'],
    { encoding: 'utf-8', stdio: ['ignore', 'pipe', 'ignore'] }
  );
  const committed = readFileSync(join(__dirname, 'openapi.ts'), 'utf-8');
  // Else run `jlpm generate:api`. Descriptions may be reworded without that.
  const types = (source: string): string =>
    source.replace(/\s*\/\*\*[^]*?\*\//g, '').trim();
  expect(types(committed)).toBe(types(generated));
});

test('the events that the panel listens to are those that the server emits', () => {
  const schema = parse(readFileSync(join(API, 'event.yaml'), 'utf-8')) as {
    $id: string;
  };
  expect(schema.$id.startsWith(EVENT_SCHEMA)).toBe(true);
});
