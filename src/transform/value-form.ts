/**
 * Whether a value that a rule gives has the form of its VR (PS3.5 Table 6.2-1): a peer refuses, or cuts off, what has
 * not, and then every object of the rule. Called by edit-attributes.ts when a rule is made, and where a prefix lengthens.
 */
import { isUid } from '../dicom/uid.ts';
import type { Value } from './editable-data-set.ts';

/** Characters, of a PN in each of its groups. */
const MOST: Readonly<Record<string, number>> = {
  ...{ AE: 16, CS: 16, SH: 16, LO: 64, PN: 64, ST: 1024, LT: 10_240 },
};

/** Line breaks and the like stand in texts of several lines alone. */
const ONE_LINE = new Set(['AE', 'CS', 'SH', 'LO', 'PN', 'UC']);

const TIME = '([01]\\d|2[0-3])([0-5]\\d([0-5]\\d|60)?)?';
const FORMS: Readonly<Record<string, { form: RegExp; expected: string }>> = {
  CS: { form: /^[A-Z0-9 _]*$/, expected: 'upper case letters, digits, spaces and underscores' },
  DA: { form: /^\d{8}$/, expected: 'a date as YYYYMMDD' },
  TM: {
    form: new RegExp(`^(${TIME}|([01]\\d|2[0-3])[0-5]\\d([0-5]\\d|60)\\.\\d{1,6})$`),
    expected: 'a time as HHMMSS, or less or more exact: HHMM, HHMMSS.FFFFFF',
  },
  DT: { form: /^\d{4}(\d{2}){0,5}(\.\d{1,6})?([+-]\d{4})?$/, expected: 'a date and time as YYYYMMDDHHMMSS' },
  AS: { form: /^\d{3}[DWMY]$/, expected: 'an age such as 018Y, 006M, 002W or 010D' },
};

/** @returns what is wrong with it, as the end of a sentence; an empty value is right in every VR but a UID's */
export function formFault(vr: string, value: Value): string | undefined {
  const text = String(value);
  if (text === '') return undefined;
  const tooLong = lengthFault(vr, text);
  if (tooLong) return `has a value that ${tooLong}`;
  const known = FORMS[vr];
  if (known && !known.form.test(text)) return `has a value that is no ${vr}: expected ${known.expected}`;
  if (vr === 'DA' && !isDay(text)) return 'has a value that is no DA: there is no such day';
  if (vr === 'UI' && !isUid(text)) return 'has a value that is no UID';
  if (ONE_LINE.has(vr) && /\p{Cc}/u.test(text))
    return `has a value with control characters, which its VR ${vr} cannot have`;
  return undefined;
}

export function lengthFault(vr: string, text: string): string | undefined {
  const most = MOST[vr];
  if (most === undefined) return undefined;
  const longest = Math.max(...(vr === 'PN' ? text.split('=') : [text]).map((part) => [...part].length));
  return longest > most ? `is longer than the ${most} characters of its VR ${vr}` : undefined;
}

function isDay(text: string): boolean {
  const [year, month, day] = [text.slice(0, 4), text.slice(4, 6), text.slice(6)].map(Number);
  const date = new Date(Date.UTC(year!, month! - 1, day!));
  // Years below 100 are taken for those of the 20th century.
  date.setUTCFullYear(year!, month! - 1, day!);
  return date.getUTCMonth() === month! - 1 && date.getUTCDate() === day!;
}
