/**
 * One matching key of a QIDO-RS search: the text of a parameter becomes what a value must be, by the VR of its
 * attribute (PS3.18 8.3.4.1, PS3.4 C.2.2.2). Pure. Called by qido-query.ts.
 * Every fault is a sentence that names the attribute and never repeats the value, which may be a patient's.
 */
import type { Match } from '../archive/find-studies.ts';
import { label } from '../dicom/attributes.ts';
import { isUid } from '../dicom/uid.ts';
import { Failure } from '../failure.ts';
import { dateRange, momentRange, timeRange } from './qido-range.ts';

export interface Key {
  /** Tags, outermost sequence first. */
  readonly path: readonly string[];
  readonly vr: string;
  /** As sentences call it. */
  readonly label: string;
}

export interface MatchingWays {
  /** PS3.18 8.3.4.2 */
  readonly fuzzy: boolean;
  /** PS3.18 8.3.4.5: two quotation marks mean an empty value. */
  readonly empty: boolean;
  /** (0008,0201) of the query: where its dates and times are meant. */
  readonly zone?: string | undefined;
}

const TEXT_VRS = new Set(['AE', 'AS', 'LO', 'LT', 'SH', 'ST', 'UC', 'UR', 'UT']);
const NUMBER_VRS = new Set(['DS', 'FD', 'FL', 'IS', 'SL', 'SS', 'SV', 'UL', 'US', 'UV']);
/** VRs whose characters leave the comma free, so that it may part values as the backslash does. */
const LISTED = /[,\\]/;
const EMPTY = '""';

/**
 * undefined for universal matching (PS3.4 C.2.2.2.3).
 * @throws Failure 'invalid' naming the attribute
 */
export function parseMatch(key: Key, given: string, ways: MatchingWays): Match | undefined {
  const value = given.trim();
  if (/^\**$/.test(value)) return undefined;
  if (ways.empty && value === EMPTY) return { kind: 'empty' };
  switch (key.vr) {
    case 'UI': {
      const values = value.split(LISTED).map((uid) => uid.trim());
      for (const uid of values) checkUid(uid, key.path.at(-1)!);
      return { kind: 'one-of', values };
    }
    case 'CS':
    case 'AT':
      return { kind: 'one-of', values: value.split(LISTED).map((code) => code.trim()) };
    case 'PN':
      return { kind: 'name', pattern: value, fuzzy: ways.fuzzy };
    case 'DA':
      return dateRange(key.label, value);
    case 'TM':
      return timeRange(key.label, value);
    case 'DT':
      return momentRange(key.label, given, ways.zone);
  }
  if (NUMBER_VRS.has(key.vr))
    return { kind: 'number', values: value.split(LISTED).map((one) => number(key, one)) };
  // The backslash parts values in every VR of one line (PS3.4 C.2.2.2.8).
  if (TEXT_VRS.has(key.vr)) return { kind: 'one-of', values: value.split('\\').map((one) => one.trim()) };
  throw new Failure('invalid', `${key.label} has VR ${key.vr}, by which nothing can be searched`, {
    attribute: key.label,
  });
}

function number(key: Key, text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isFinite(value))
    throw new Failure('invalid', `${key.label} must be a number`, { attribute: key.label });
  return value;
}

/** @throws Failure 'invalid' naming the attribute whose value is no UID */
export function checkUid(text: string, tag: string): void {
  if (!isUid(text))
    throw new Failure(
      'invalid',
      `${label(tag)} must be a UID: digits and dots, at most 64 characters (PS3.5 9.1)`,
      { attribute: label(tag) },
    );
}
