/**
 * Conditions on dates with their times and on moments (PS3.4 C.2.2.2.5), zones included. Pure. Called by match-sql.ts.
 */
import type { Criterion, Match } from './find-studies.ts';
import { type Asking, rootText } from './match-columns.ts';
import { onRange, onText } from './match-text.ts';

/** The time that goes with a date (PS3.4 C.2.2.2.5.4). */
const TIME_OF_DATE: Readonly<Record<string, string>> = {
  '00080020': '00080030',
  '00080021': '00080031',
  '00080012': '00080013',
  '00080022': '00080032',
  '00080023': '00080033',
  '00400244': '00400245',
  '00700082': '00700083',
};

/** A value without offset is of its object's zone, or else of the search's. */
export function onMoment(match: Match & { kind: 'moments' }, { parameter, joined }: Asking): string {
  joined.add('s');
  const zone = `coalesce(s.attributes #>> '{00080201,Value,0}', ${parameter(match.zone ?? null)}::text)`;
  const moment = `utc_moment(q.v #>> '{}', ${zone})`;
  const at = (microseconds: string): string =>
    `timestamp '1970-01-01' + ${parameter(microseconds)}::float8 * interval '1 microsecond'`;
  const tests: string[] = [];
  if (match.from !== undefined) tests.push(`${moment} >= ${at(match.from)}`);
  if (match.before !== undefined) tests.push(`${moment} < ${at(match.before)}`);
  return tests.join(' and ');
}

type DatePair = readonly [date: Criterion, time: Criterion | undefined];

/**
 * Dates that are matched together with their times: where both are ranges (combined date-time matching, PS3.4
 * C.2.2.2.5.4), and where the search says a zone, in which a moment may have another date.
 */
export function datePairs(criteria: readonly Criterion[], zoned: boolean): DatePair[] {
  const ranged = criteria.filter(({ path, match }) => path.length === 1 && match.kind === 'range');
  return ranged.flatMap((date): DatePair[] => {
    const timeTag = TIME_OF_DATE[date.path[0]!];
    if (timeTag === undefined) return [];
    const time = ranged.find(({ path }) => path[0] === timeTag);
    if (zoned) return [[date, time]];
    return time && isSpan(date.match) && isSpan(time.match) ? [[date, time]] : [];
  });
}

/** A range of more than one value; a single date with a range of times needs no combining. */
const isSpan = (match: Match): boolean => match.kind === 'range' && match.from !== match.to;

export function dateAndTime(date: Criterion, time: Criterion | undefined, asking: Asking): string {
  if (date.match.kind !== 'range') throw new Error('a date is matched by a range');
  const { parameter, joined } = asking;
  const { zone } = asking.search;
  const dateTag = date.path[0]!;
  const dateText = rootText(dateTag, asking);
  const timeText = rootText(TIME_OF_DATE[dateTag]!, asking);
  let whole = `(${dateText} || ${timeText})`;
  // A moment's date differs by a day at most: the index of dates is still of use.
  const days = zone === undefined ? 0 : 1;
  const near = { from: daysFrom(date.match.from, -days), to: daysFrom(date.match.to, days) };
  if (zone !== undefined) {
    joined.add('s');
    whole = `in_zone(${dateText}, ${timeText}, s.attributes #>> '{00080201,Value,0}', ${parameter(zone)})`;
  }
  const tests = [onRange(dateText, near, parameter)];
  if (time?.match.kind === 'range' && isSpan(date.match) && isSpan(time.match)) {
    const from = date.match.from === '' ? '' : date.match.from + time.match.from;
    const to = date.match.to === '' ? '' : date.match.to + time.match.to;
    tests.push(onRange(whole, { from, to }, parameter));
  } else {
    tests.push(onRange(`left(${whole}, 8)`, date.match, parameter));
    if (time) tests.push(onText(`substr(${whole}, 9)`, time.match, parameter));
  }
  return `(${tests.join(' and ')})`;
}

/** YYYYMMDD so many days later; '' stays. */
function daysFrom(date: string, days: number): string {
  if (date === '' || days === 0) return date;
  const at = Date.UTC(
    Number(date.slice(0, 4)),
    Number(date.slice(4, 6)) - 1,
    Number(date.slice(6, 8)) + days,
  );
  return new Date(at).toISOString().slice(0, 10).replaceAll('-', '');
}
