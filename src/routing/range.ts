/**
 * Ranges in rules: a bound and a value as comparable numbers or texts, by the VR of the attribute (PS3.5 6.2).
 * Called by value-test.ts.
 */
import { decimal } from '../dicom/data-set-values.ts';

export interface RangeTest {
  from?: string | number | undefined;
  to?: string | number | undefined;
}

const NUMERIC = new Set(['DS', 'FL', 'FD', 'IS', 'SL', 'SS', 'SV', 'UL', 'US', 'UV']);

/** VRs whose values are numbers. */
export function isNumericVr(vr: string): boolean {
  return NUMERIC.has(vr);
}

/** VRs that have an order a range can use. */
export const rangeVrs: ReadonlySet<string> = new Set([...NUMERIC, 'DA', 'TM', 'DT', 'AS']);

type Comparable = number | string;

/** @returns a test of one value (both ends included), or the fault of a bound as a sentence */
export function compileRange(test: RangeTest, vr: string): ((value: string) => boolean) | string {
  const from = test.from === undefined ? undefined : comparable(String(test.from), vr, 'low');
  const to = test.to === undefined ? undefined : comparable(String(test.to), vr, 'high');
  for (const [name, bound, asked] of [
    ['from', from, test.from],
    ['to', to, test.to],
  ] as const)
    if (asked !== undefined && bound === undefined)
      return `${name} is "${asked}", expected ${EXPECTED[vr] ?? 'a number'}`;
  if (from !== undefined && to !== undefined && from > to) {
    const over =
      vr === 'TM' ? '; over midnight it is two ranges in "any", the one from it and the one to it' : '';
    return `the ends are crossed: from ${test.from} comes after to ${test.to}${over}`;
  }
  return (value) => {
    const found = comparable(vr === 'DT' ? value.trim().replace(OFFSET, '') : value, vr, 'low');
    if (found === undefined) return false;
    return (from === undefined || found >= from) && (to === undefined || found <= to);
  };
}

/** How a value of the VR is written, for faults. */
export const EXPECTED: Readonly<Record<string, string>> = {
  DA: 'a date as YYYYMMDD or YYYY-MM-DD',
  TM: 'a time as HHMM[SS] or HH:MM[:SS]',
  DT: 'a date and time as YYYYMMDD[HHMMSS], without a zone: those of objects are left out',
  AS: 'an age such as 018Y, 006M, 002W or 010D',
};

/** YYYY to YYYYMMDDHHMMSS.FFFFFF (PS3.5 6.2, DT without its offset). */
const DATE_TIME =
  /^\d{4}((0[1-9]|1[0-2])((0[1-9]|[12]\d|3[01])(([01]\d|2[0-3])([0-5]\d([0-6]\d(\.\d{1,6})?)?)?)?)?)?$/;
/** Of a value: a rule compares what the modality wrote. */
const OFFSET = /[+-]\d{4}$/;

const DAYS: Record<string, number> = { D: 1, W: 7, M: 30.4375, Y: 365.25 };

/** A prefix (a year, an hour) stands for its first moment as a lower bound and for its last as an upper one. */
function comparable(text: string, vr: string, side: 'low' | 'high'): Comparable | undefined {
  const pad = side === 'low' ? '0' : '9';
  const plain = text.trim();
  switch (vr) {
    case 'DA': {
      const digits = plain.replaceAll(/[-.]/g, '');
      return isDate(digits) ? digits : undefined;
    }
    case 'TM': {
      const digits = plain.replaceAll(':', '');
      if (!/^([01]\d|2[0-3])([0-5]\d([0-6]\d(\.\d{1,6})?)?)?$/.test(digits)) return undefined;
      return digits.replace('.', '').padEnd(12, pad);
    }
    case 'DT': {
      const digits = plain.replaceAll(/[-:T ]/g, '');
      return DATE_TIME.test(digits) ? digits.replace('.', '').padEnd(20, pad) : undefined;
    }
    case 'AS': {
      const [, number, unit] = /^(\d{1,6})([DWMY])$/.exec(plain) ?? [];
      if (number === undefined || unit === undefined) return undefined;
      return (Number(number) + (side === 'high' ? 0.999 : 0)) * (DAYS[unit] ?? 1);
    }
    default: {
      return decimal(plain);
    }
  }
}

/** Eight digits that are a day of the calendar. */
export function isDate(digits: string): boolean {
  const [, year, month, day] = /^(\d{4})(\d{2})(\d{2})$/.exec(digits) ?? [];
  if (day === undefined) return false;
  const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  return date.getUTCMonth() + 1 === Number(month) && date.getUTCDate() === Number(day);
}
