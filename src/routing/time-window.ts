/**
 * Windows of days and hours on a wall clock of some time zone: whether a moment lies in one, and until when that holds.
 * Pure. Asked by the ledger before a delivery begins, by the API, and by conditions of rules on the clock.
 *
 * A window is one stretch of time a day, also on the two days a year on which clocks are changed: it begins when its
 * clock first shows `from`, or at the change where that hour is skipped, and ends when it next shows `to`.
 */
import { z } from 'zod';

export const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
export type Weekday = (typeof WEEKDAYS)[number];

const clockTime = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$|^24:00$/, 'expected a time such as 20:00');

export const timeWindowSchema = z
  .strictObject({
    days: z
      .array(z.enum(WEEKDAYS))
      .min(1)
      .max(7)
      .default([...WEEKDAYS])
      .describe('Days on which it begins; every day when absent'),
    from: clockTime.describe('Such as 20:00'),
    to: clockTime.describe('Such as 06:00: of the next day when it is not after from; 24:00 is midnight'),
    zone: z
      .string()
      .refine(isTimeZone, 'expected an IANA time zone such as Europe/Berlin')
      .describe('An IANA time zone'),
  })
  .refine(
    ({ from, to }) => from !== to && from !== '24:00',
    'from and to are the same, or from is 24:00: a whole day is from 00:00 to 24:00',
  );

export type TimeWindow = z.infer<typeof timeWindowSchema>;

export interface WindowStanding {
  readonly open: boolean;
  /** When that ends; undefined when it never does. */
  readonly until: Date | undefined;
}

const MINUTE_MS = 60_000;
const DAY_MINUTES = 24 * 60;
/** A week and a day: whatever days a window has, its next turn lies within. */
const DAYS_AHEAD = 8;

/** @param windows the union counts; no window at all is always open */
export function standing(windows: readonly TimeWindow[], at: Date): WindowStanding {
  if (windows.length === 0) return { open: true, until: undefined };
  const now = at.getTime();
  const stretches = windows.flatMap((window) => stretchesOf(window, now)).sort((a, b) => a.from - b.from);
  const current = stretches.filter(({ from, to }) => from <= now && now < to);
  if (current.length === 0) {
    const next = stretches.find(({ from }) => from > now);
    return { open: false, until: next && new Date(next.from) };
  }
  let end = Math.max(...current.map(({ to }) => to));
  for (const { from, to } of stretches) if (from <= end && to > end) end = to;
  const known = now + DAYS_AHEAD * DAY_MINUTES * MINUTE_MS;
  return { open: true, until: end < known ? new Date(end) : undefined };
}

export function isWithin(window: TimeWindow, at: Date): boolean {
  return standing([window], at).open;
}

interface Stretch {
  from: number;
  to: number;
}

/** Of the days around a moment: from two before, which may last until now, to a week and two after. */
function stretchesOf({ days, from, to, zone }: TimeWindow, now: number): Stretch[] {
  const today = wallClock(zone, now).dayStart;
  const [begin, end] = [minutesOf(from), minutesOf(to)];
  const length = end > begin ? end - begin : end + DAY_MINUTES - begin;
  const stretches: Stretch[] = [];
  for (let offset = -2; offset <= DAYS_AHEAD + 1; offset++) {
    const day = today + offset * DAY_MINUTES * MINUTE_MS;
    if (!days.includes(WEEKDAYS[new Date(day).getUTCDay()]!)) continue;
    const start = day + begin * MINUTE_MS;
    const stretch = { from: firstMoment(zone, start), to: firstMoment(zone, start + length * MINUTE_MS) };
    if (stretch.to > stretch.from) stretches.push(stretch);
  }
  return stretches;
}

function minutesOf(time: string): number {
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  return hours * 60 + minutes;
}

/**
 * The first moment at which the zone's wall clock shows this time or a later one.
 * @param wall what the clock shows, as if it were UTC, in milliseconds
 */
function firstMoment(zone: string, wall: number): number {
  const day = DAY_MINUTES * MINUTE_MS;
  const before = wall - offsetAt(zone, wall - day);
  const after = wall - offsetAt(zone, wall + day);
  const shown = [before, after].filter((moment) => moment + offsetAt(zone, moment) === wall);
  if (shown.length > 0) return Math.min(...shown);
  // That time is skipped: the moment of the change, which lies between the two.
  let [low, high] = [Math.min(before, after), Math.max(before, after)];
  const old = offsetAt(zone, low);
  while (high - low > MINUTE_MS) {
    const middle = low + Math.floor((high - low) / 2 / MINUTE_MS) * MINUTE_MS;
    if (offsetAt(zone, middle) === old) low = middle;
    else high = middle;
  }
  return high;
}

/** Milliseconds to add to UTC, to the minute. */
function offsetAt(zone: string, moment: number): number {
  const { dayStart, minute } = wallClock(zone, moment);
  return dayStart + minute * MINUTE_MS - Math.floor(moment / MINUTE_MS) * MINUTE_MS;
}

const formats = new Map<string, Intl.DateTimeFormat>();
/** There are some 600 zones with their aliases. */
const MOST_FORMATS = 1000;

function format(zone: string): Intl.DateTimeFormat {
  let made = formats.get(zone);
  if (!made) {
    made = new Intl.DateTimeFormat('en-US', {
      ...{ timeZone: zone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric' },
      ...{ hour: 'numeric', minute: 'numeric' },
    });
    if (formats.size >= MOST_FORMATS) formats.clear();
    formats.set(zone, made);
  }
  return made;
}

/** @returns the date as its midnight in UTC, and the minute of the day */
function wallClock(zone: string, moment: number): { dayStart: number; minute: number } {
  const parts = new Map(
    format(zone)
      .formatToParts(moment)
      .map(({ type, value }) => [type, Number(value)]),
  );
  const part = (name: Intl.DateTimeFormatPartTypes): number => parts.get(name) ?? 0;
  return {
    dayStart: Date.UTC(part('year'), part('month') - 1, part('day')),
    minute: part('hour') * 60 + part('minute'),
  };
}

function isTimeZone(zone: string): boolean {
  if (!/^[A-Za-z]/.test(zone)) return false;
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: zone });
    return true;
  } catch (thrown) {
    if (thrown instanceof RangeError) return false;
    throw thrown;
  }
}
