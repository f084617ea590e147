/** Windows of days and hours, and what becomes of them on the days on which clocks are changed. */
import { describe, expect, test } from 'vitest';
import { isWithin, standing, type TimeWindow, timeWindowSchema } from '../../src/routing/time-window.ts';

const window = (from: string, to: string, zone = 'Europe/Berlin', days?: string[]): TimeWindow =>
  timeWindowSchema.parse({ from, to, zone, ...(days && { days }) });
const at = (text: string): Date => new Date(text);
const shown = (windows: TimeWindow[], moment: string): string => {
  const { open, until } = standing(windows, at(moment));
  return `${open ? 'open' : 'closed'} until ${until?.toISOString().replace(':00.000Z', 'Z') ?? 'ever'}`;
};

describe('a window', () => {
  test.each([
    ['before it', '2026-01-14T18:59:59Z', 'closed until 2026-01-14T19:00Z'],
    ['at its first moment', '2026-01-14T19:00:00Z', 'open until 2026-01-15T05:00Z'],
    ['past midnight', '2026-01-15T03:00:00Z', 'open until 2026-01-15T05:00Z'],
    ['at its end', '2026-01-15T05:00:00Z', 'closed until 2026-01-15T19:00Z'],
  ])('of nights, %s', (_, moment, expected) => {
    expect(shown([window('20:00', '06:00')], moment)).toBe(expected);
  });

  test('of some days lasts past midnight into a day that has none', () => {
    const friday = window('20:00', '06:00', 'UTC', ['fri']);
    expect(shown([friday], '2026-01-17T05:59:00Z')).toBe('open until 2026-01-17T06:00Z');
    expect(shown([friday], '2026-01-17T20:30:00Z')).toBe('closed until 2026-01-23T20:00Z');
    expect(shown([friday], '2026-01-16T05:00:00Z'), 'nor begins before its day').toBe(
      'closed until 2026-01-16T20:00Z',
    );
  });

  test('and another that touches it are one', () => {
    const week = window('18:00', '24:00', 'UTC', ['fri']);
    const weekend = window('00:00', '24:00', 'UTC', ['sat', 'sun']);
    expect(shown([weekend, week], '2026-01-16T19:00:00Z')).toBe('open until 2026-01-19T00:00Z');
    expect(shown([weekend, week], '2026-01-19T00:00:00Z')).toBe('closed until 2026-01-23T18:00Z');
  });

  test('of every whole day is always open, and none is, too', () => {
    expect(shown([window('00:00', '24:00')], '2026-03-29T01:30:00Z')).toBe('open until ever');
    expect(shown([], '2026-01-16T19:00:00Z')).toBe('open until ever');
  });

  test('goes by its own zone', () => {
    const noon = '2026-01-14T12:30:00Z';
    expect(isWithin(window('12:00', '13:00', 'UTC'), at(noon))).toBe(true);
    expect(isWithin(window('18:00', '19:00', 'Asia/Kolkata'), at(noon))).toBe(true);
    expect(isWithin(window('01:00', '02:00', 'Pacific/Auckland'), at(noon)), 'tomorrow there').toBe(true);
    expect(isWithin(window('01:00', '02:00', 'Pacific/Auckland', ['thu']), at(noon))).toBe(true);
    expect(isWithin(window('01:00', '02:00', 'Pacific/Auckland', ['wed']), at(noon))).toBe(false);
  });
});

describe('when clocks go forward (Berlin, 29 March 2026, 02:00 to 03:00)', () => {
  test.each([
    ['a night is an hour shorter', '20:00', '06:00', '2026-03-28T23:00Z', 'open until 2026-03-29T04:00Z'],
    [
      'a window that begins in the hour begins at the change',
      '02:30',
      '06:00',
      '2026-03-29T00:30Z',
      'closed until 2026-03-29T01:00Z',
    ],
    [
      'a window that ends in the hour ends at the change',
      '22:00',
      '02:30',
      '2026-03-28T23:00Z',
      'open until 2026-03-29T01:00Z',
    ],
    [
      'a window within the hour is left out',
      '02:10',
      '02:50',
      '2026-03-29T00:30Z',
      'closed until 2026-03-30T00:10Z',
    ],
    [
      'the day after goes by summer time',
      '20:00',
      '21:00',
      '2026-03-29T12:00Z',
      'closed until 2026-03-29T18:00Z',
    ],
  ])('%s', (_, from, to, moment, expected) => {
    expect(shown([window(from, to)], moment)).toBe(expected);
  });
});

describe('when clocks go back (Berlin, 25 October 2026, 03:00 to 02:00)', () => {
  test.each([
    ['a night is an hour longer', '20:00', '06:00', '2026-10-24T20:00Z', 'open until 2026-10-25T05:00Z'],
    [
      'a window that begins in the hour begins once, the first time',
      '02:30',
      '06:00',
      '2026-10-25T00:15Z',
      'closed until 2026-10-25T00:30Z',
    ],
    [
      'and stays open while the hour comes again',
      '02:30',
      '06:00',
      '2026-10-25T01:10Z',
      'open until 2026-10-25T05:00Z',
    ],
    [
      'a window that ends in the hour does not open again',
      '22:00',
      '02:30',
      '2026-10-25T01:10Z',
      'closed until 2026-10-25T21:00Z',
    ],
    [
      'a window within the hour opens once',
      '02:10',
      '02:50',
      '2026-10-25T00:20Z',
      'open until 2026-10-25T00:50Z',
    ],
    ['and not again', '02:10', '02:50', '2026-10-25T01:20Z', 'closed until 2026-10-26T01:10Z'],
  ])('%s', (_, from, to, moment, expected) => {
    expect(shown([window(from, to)], moment)).toBe(expected);
  });
});

test.each([
  ['Asia/Beirut, where midnight itself is skipped', '2026-03-28T12:00Z', 'Asia/Beirut', '2026-03-28T22:00Z'],
  ['Australia/Lord_Howe, half an hour', '2026-10-03T10:00Z', 'Australia/Lord_Howe', '2026-10-03T13:30Z'],
  ['America/New_York', '2026-03-07T12:00Z', 'America/New_York', '2026-03-08T05:00Z'],
])('midnight comes in %s', (_, moment, zone, expected) => {
  expect(shown([window('00:00', '01:30', zone)], moment)).toBe(`closed until ${expected}`);
});

test('a year of Berlin and New York nights agrees with a clock that is read minute by minute', () => {
  for (const zone of ['Europe/Berlin', 'America/New_York']) {
    const night = window('22:15', '05:45', zone);
    const clock = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hour: '2-digit', minute: '2-digit' });
    for (let moment = Date.UTC(2026, 0, 1, 0, 7); moment < Date.UTC(2027, 0, 1); moment += 47 * 60_000) {
      const wall = clock.format(moment);
      expect(isWithin(night, new Date(moment)), `${zone} ${wall}`).toBe(wall >= '22:15' || wall < '05:45');
    }
  }
});

test.each([
  [{ from: '20:00', to: '20:00', zone: 'UTC' }, /the same/],
  [{ from: '24:00', to: '20:00', zone: 'UTC' }, /24:00/],
  [{ from: '20:60', to: '21:00', zone: 'UTC' }, /expected a time such as 20:00/],
  [{ from: '20:00', to: '21:00', zone: 'Europe/Atlantis' }, /IANA time zone/],
  [{ from: '20:00', to: '21:00', zone: '+01:00' }, /IANA time zone/],
  [{ from: '20:00', to: '21:00', zone: 'UTC', days: ['someday'] }, /days/],
])('%j is refused', (json, expected) => {
  const { error } = timeWindowSchema.safeParse(json);
  expect(error?.issues.map(({ message, path }) => `${path.join('.')}: ${message}`).join('; ')).toMatch(
    expected,
  );
});
