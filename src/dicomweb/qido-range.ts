/**
 * Dates, times and moments of a QIDO-RS search: one value or a range of two (PS3.4 C.2.2.2.5), as PS3.5 6.2 writes them.
 * Pure. Called by qido-match.ts; a fault names the attribute and says the form, never the value.
 */
import type { Match } from '../archive/find-studies.ts';
import { Failure } from '../failure.ts';

const DATE = /^\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$/;
const TIME = /^([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?$/;
const MOMENT =
  '\\d{4}(?:(?:0[1-9]|1[0-2])(?:(?:0[1-9]|[12]\\d|3[01])(?:(?:[01]\\d|2[0-3])(?:[0-5]\\d(?:(?:[0-5]\\d|60)(?:\\.\\d{1,6})?)?)?)?)?)?';
/** -1200 to +1400, with the "+" that a URL's query string turns into a space. */
const OFFSET = '(?:[-+ ](?:0\\d|1[0-4])[0-5]\\d)';
/** A hyphen and four digits that can be an offset are one (PS3.5 6.2); years that early have no images. */
const MOMENTS = new RegExp(`^(?:(${MOMENT})(${OFFSET})?)?(-)?(?:(${MOMENT})(${OFFSET})?)?$`);

export function dateRange(label: string, value: string): Match {
  return textRange(label, value, DATE, 'a date YYYYMMDD or a range of two with a hyphen');
}

export function timeRange(label: string, value: string): Match {
  return textRange(label, value, TIME, 'a time HHMMSS.FFFFFF or a range of two with a hyphen');
}

function textRange(label: string, value: string, form: RegExp, words: string): Match {
  const ends = value.split('-').map((end) => end.trim());
  const [from = '', to = from] = ends;
  const good =
    ends.length <= 2 && (from !== '' || to !== '') && [from, to].every((end) => end === '' || form.test(end));
  if (!good) throw new Failure('invalid', `${label} must be ${words}`, { attribute: label });
  return { kind: 'range', from, to };
}

/**
 * A range of moments where the search says offsets or a zone; without them what is written is compared as it is
 * written, whatever the offsets of the values found.
 * @param zone &ZZXX, for ends that name no offset
 */
export function momentRange(label: string, given: string, zone: string | undefined): Match {
  // Only the end is trimmed of spaces: one in front of an offset was a "+".
  const [whole, from = '', fromOffset, hyphen, to = '', toOffset] = MOMENTS.exec(given.trim()) ?? [];
  // Two values need a hyphen between them, and one that is an offset does not part them.
  if (whole === undefined || whole === '' || whole === '-' || (from !== '' && to !== '' && !hyphen))
    throw new Failure(
      'invalid',
      `${label} must be a date and time YYYYMMDDHHMMSS.FFFFFF&ZZXX or a range of two with a hyphen`,
      { attribute: label },
    );
  const last = hyphen === undefined ? from : to;
  const lastOffset = hyphen === undefined ? fromOffset : toOffset;
  if (fromOffset === undefined && toOffset === undefined && zone === undefined)
    return { kind: 'range', from, to: last };
  return {
    kind: 'moments',
    from: from === '' ? undefined : microseconds(from, fromOffset ?? zone, 0),
    before: last === '' ? undefined : microseconds(last, lastOffset ?? zone, 1),
    zone,
  };
}

/** Microseconds since 1970 of the moment, or of the first one after all it may mean (`past` 1). */
function microseconds(text: string, offset = '+0000', past: 0 | 1): string {
  const [digits = '', fraction] = text.split('.');
  const part = (from: number, least: number): number =>
    digits.length > from ? Number(digits.slice(from, from + (from === 0 ? 4 : 2))) : least;
  const finest = fraction === undefined ? digits.length : 16;
  const after = (length: number): number => (finest === length ? past : 0);
  const ms = Date.UTC(
    part(0, 0) + after(4),
    part(4, 1) - 1 + after(6),
    part(6, 1) + after(8),
    part(8, 0) + after(10),
    part(10, 0) + after(12),
    part(12, 0) + after(14),
  );
  const sign = offset.startsWith('-') ? -1 : 1;
  const shiftMs = sign * (Number(offset.slice(1, 3)) * 60 + Number(offset.slice(3, 5))) * 60_000;
  const micro =
    fraction === undefined ? 0 : Number(fraction.padEnd(6, '0')) + past * 10 ** (6 - fraction.length);
  return String(BigInt(ms - shiftMs) * 1000n + BigInt(micro));
}

/** The text of a zone, with the "+" that a URL's query string turns into a space. @throws Failure 'invalid' */
export function parseZone(label: string, value: string): string | undefined {
  const text = value.replace(/^ (?=\d)/, '+').trim();
  if (text === '') return undefined;
  if (!new RegExp(`^${OFFSET}$`).test(text))
    throw new Failure('invalid', `${label} must be an offset from UTC: + or -, hours and minutes, "+0100"`, {
      attribute: label,
    });
  return text;
}
