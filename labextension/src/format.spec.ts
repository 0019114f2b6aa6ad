import { nullTranslator } from '@jupyterlab/translation';

import {
  countdown,
  day,
  duration,
  isWeekend,
  moment,
  roughly,
  time,
  usd,
  usdPerHour
} from './format';

const trans = nullTranslator.load('');

/** With spaces that lines may be broken at, to be compared with what is typed here. */
function plain(text: string): string {
  return text.replace(/\u00a0/g, ' ');
}

test.each([
  [0, '0 s'],
  [59.6, '1 min'],
  [60, '1 min'],
  [80, '1 min 20 s'],
  [599, '9 min 59 s'],
  [625, '10 min'],
  [3600, '1 h'],
  [5400, '1 h 30 min'],
  [86400, '1 d'],
  [100000, '1 d 3 h'],
  [31622400, '366 d'],
  [-5, '0 s']
])('%d s is %s', (seconds, text) => {
  expect(plain(duration(seconds, trans))).toBe(text);
});

test('a line never ends between a number and its unit', () => {
  expect(duration(93_784, trans)).toBe('1\u00a0d 2\u00a0h');
});

test('what went on for a while has no seconds', () => {
  expect(plain(roughly(59, trans))).toBe('59 s');
  expect(plain(roughly(80, trans))).toBe('1 min');
});

test.each([
  [7260, '2 h 1 min'],
  [600, '10 min'],
  [599, '9:59'],
  [60.2, '1:01'],
  [0.4, '0:01'],
  [-3, '0:00']
])('a countdown of %d s is %s', (seconds, text) => {
  expect(plain(countdown(seconds, trans))).toBe(text);
});

test('money is to the cent, and what is less is not nothing', () => {
  expect(usd('1234.5')).toBe('$1,234.50');
  expect(usd('0')).toBe('$0.00');
  expect(usd('0.0004')).toBe('< $0.01');
  expect(usdPerHour(0.7364, trans)).toBe('$0.74/h');
  expect(usdPerHour(0.0464, trans)).toBe('$0.0464/h');
  expect(usdPerHour(0.05, trans)).toBe('$0.05/h');
});

test('a time of another day has its date', () => {
  const now = new Date(2026, 8, 1, 12).getTime();
  expect(time(now + 3_600_000, now)).toBe('1:00 PM');
  expect(time(now + 86_400_000, now)).toMatch(/Sep 2.*12:00 PM/);
});

test('a day of the costs is that day, in every time zone', () => {
  expect(day('2026-09-01')).toBe('Sep 1');
});

test.each(['en-US@posix', 'c', ''])(
  'a browser whose language is "%s" shows times and money all the same',
  language => {
    const spy = jest.spyOn(navigator, 'language', 'get');
    spy.mockReturnValue(language);
    expect(usd('1.5')).toMatch(/1.50/);
    expect(time(0, 0)).not.toBe('');
    expect(day('2026-09-01')).toMatch(/Sep/);
    spy.mockRestore();
  }
);

test('what happened this week is told by its weekday, later by its date', () => {
  const now = Date.parse('2026-09-18T12:00:00Z');
  const ago = (hours: number): string => moment(now - hours * 3_600_000, now);
  expect(ago(1)).toBe('11:00 AM');
  expect(ago(48)).toMatch(/^Wed.*12:00 PM$/);
  expect(ago(24 * 9)).toMatch(/^Sep 9.*12:00 PM$/);
});

test('a weekend is one by the days of the costs, which are in UTC', () => {
  const days = ['2026-09-18', '2026-09-19', '2026-09-20', '2026-09-21'];
  expect(days.map(isWeekend)).toEqual([false, true, true, false]);
});
