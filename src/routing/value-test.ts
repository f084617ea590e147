/**
 * A test of one value as a rule asks it (equals, in, wildcard, RE2 pattern, range, time windows), compiled by the
 * attribute's VR with its words for reasons. Called by condition.ts; patterns are RE2, which takes linear time.
 */
import { RE2JS } from 're2js';
import { decimal } from '../dicom/data-set-values.ts';
import { isAddressRange, isWithin as isWithinRange } from '../dimse/address-range.ts';
import { compileRange, EXPECTED, isNumericVr, type RangeTest, rangeVrs } from './range.ts';
import { isWithin, type TimeWindow } from './time-window.ts';

export type Test = string | number | readonly (string | number)[] | { readonly pattern: string } | RangeTest;

export interface CompiledTest {
  /** Whether one value of the subject, in this VR, satisfies it. */
  readonly accepts: (value: string, vr: string) => boolean;
  /** "is "CT"" and "is not "CT"", without identifying values. */
  readonly holds: string;
  readonly fails: string;
}

/** In the place of a VR: text that may be asked by a range in CIDR form. */
export const ADDRESS = 'address';

/** Their values are bytes (PS3.5 6.2). */
const BYTES = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'UN']);
/** Their text may hold a backslash (PS3.5 6.2); in others it parts values. */
const WHOLE_TEXTS = new Set([ADDRESS, 'LT', 'ST', 'UR', 'UT']);

/**
 * @param vr undefined for a private attribute, whose VR each object says
 * @param quotable whether reasons may quote what is asked for
 * @returns the compiled test, or the fault as a sentence
 */
export function compileTest(
  test: Test,
  vr: string | undefined,
  quotable: boolean,
): CompiledTest | { fault: string } {
  if (vr === undefined) return compilePrivate(test);
  if (vr === 'SQ')
    return {
      fault: 'a sequence has no value to test; name an attribute within it, or use present or absent',
    };
  if (BYTES.has(vr)) return { fault: `this attribute is bytes (${vr}): use present or absent` };
  if (Array.isArray(test)) {
    const asked: readonly (string | number)[] = test;
    const each = asked.map((value) => equals(value, vr));
    const fault = each.find((one) => typeof one === 'string');
    if (typeof fault === 'string') return { fault };
    const accepts = (value: string): boolean => each.some((one) => typeof one !== 'string' && one(value));
    const told = quotable ? `one of ${quote(asked)}` : 'one of the values asked for';
    return { accepts, holds: `is ${told}`, fails: `is not ${told}` };
  }
  if (typeof test === 'string' || typeof test === 'number') {
    const accepts = equals(test, vr);
    if (typeof accepts === 'string') return { fault: accepts };
    const told = quotable ? quote([test]) : 'the value asked for';
    return { accepts, holds: `is ${told}`, fails: `is not ${told}` };
  }
  return 'pattern' in test ? pattern(test.pattern, quotable) : range(test as RangeTest, vr, quotable);
}

/** As text, and by the VR where that gives it another meaning; it is enough that one VR can be asked so. */
function compilePrivate(test: Test): CompiledTest | { fault: string } {
  const asText = compileTest(test, 'LO', false);
  const asRange = rangeVrList.map((vr) => [vr, compileTest(test, vr, false)] as const);
  const byVr = new Map(asRange.flatMap(([vr, one]) => ('fault' in one ? [] : [[vr, one] as const])));
  if ('fault' in asText && byVr.size === 0)
    return isRange(test)
      ? { fault: 'a range is of numbers, dates (YYYYMMDD), times (HH:MM) or ages (018Y), from before to' }
      : asText;
  const { holds, fails } = 'fault' in asText ? [...byVr.values()][0]! : asText;
  return {
    accepts(value, vr) {
      if (vr === 'UN' && LOOKS.some((one) => byVr.get(one)?.accepts(value, one))) return true;
      if (rangeVrs.has(vr)) return byVr.get(vr)?.accepts(value, vr) ?? false;
      return !('fault' in asText) && asText.accepts(value, vr);
    },
    holds,
    fails,
  };
}

/** What text without a VR may be, beside text. */
const LOOKS = ['DS', 'DA'];
const rangeVrList = [...rangeVrs];

function isRange(test: Test): boolean {
  return typeof test === 'object' && !Array.isArray(test) && !('pattern' in test);
}

/** Whether a moment lies in one of the windows; the subject's value is the moment (ISO 8601). */
export function compileClock(windows: readonly TimeWindow[]): CompiledTest {
  // Every instance of a unit is asked of the same moment, and calendars are slow.
  let last: { value: string; held: boolean } | undefined;
  const asked = windows.map(({ days, from, to, zone }) => {
    const which = days.length === 7 ? 'every day' : days.join(', ');
    return `${which} ${from} to ${to} ${zone}`;
  });
  const told = asked.length > 3 ? `${asked.slice(0, 3).join('; ')}; ...` : asked.join('; ');
  return {
    accepts(value) {
      if (last?.value !== value) {
        const at = new Date(value);
        last = { value, held: windows.some((window) => isWithin(window, at)) };
      }
      return last.held;
    },
    holds: `lies within ${told}`,
    fails: `lies outside ${told}`,
  };
}

function range(test: RangeTest, vr: string, quotable: boolean): CompiledTest | { fault: string } {
  if (test.from === undefined && test.to === undefined) return { fault: 'a range needs from, to or both' };
  if (!rangeVrs.has(vr))
    return { fault: `a range needs a number, date, time or age; this attribute is ${vr}` };
  const compiled = compileRange(test, vr);
  if (typeof compiled === 'string') return { fault: compiled };
  const bounds = [
    ...(test.from === undefined ? [] : [`from ${test.from}`]),
    ...(test.to === undefined ? [] : [`to ${test.to}`]),
  ].join(' ');
  const told = quotable ? `the range ${bounds}` : 'the range asked for';
  return { accepts: compiled, holds: `lies in ${told}`, fails: `lies outside ${told}` };
}

/** @returns a test of one value, or the fault */
function equals(asked: string | number, vr: string): ((value: string) => boolean) | string {
  if (isNumericVr(vr)) {
    const number = typeof asked === 'number' ? asked : decimal(asked.trim());
    if (number === undefined) return `this attribute is a number (${vr}), "${asked}" is none`;
    // 0.1 as 32 bits hold it.
    const stored = vr === 'FL' ? Math.fround(number) : number;
    return (value) => Number(value) === stored;
  }
  const text = String(asked).trim();
  if (text === '') return 'an empty text equals nothing; use "absent" for an attribute without a value';
  if (vr === ADDRESS && text.includes('/')) {
    if (!isAddressRange(text)) return `"${text}" is no range of addresses such as 10.1.0.0/16`;
    return (value) => isWithinRange(value, [text]);
  }
  if (text.includes('\\') && !WHOLE_TEXTS.has(vr))
    return `a backslash parts the values of an attribute (${vr}), and each is looked at by itself: name one of them, or several in "all"`;
  if (/[*?]/.test(text)) return wildcard(text);
  // A date equals a date however it is written, and 10:15 is every moment of that minute.
  if (rangeVrs.has(vr)) {
    const compiled = compileRange({ from: text, to: text }, vr);
    return typeof compiled === 'string' ? `"${text}" is not ${EXPECTED[vr]}` : compiled;
  }
  if (vr === 'PN') {
    const name = plainName(text);
    return (value) => plainName(value) === name;
  }
  return (value) => value === text;
}

/** Delimiters behind the last component, and of the last group, may be left out (PS3.5 6.2.1). */
function plainName(name: string): string {
  const groups = name.split('=').map((group) =>
    group
      .split('^')
      .map((component) => component.trim())
      .join('^')
      .replace(/\^+$/, ''),
  );
  return groups.join('=').replace(/=+$/, '');
}

function wildcard(text: string): (value: string) => boolean {
  const parts = text
    .split(/([*?])/)
    .map((part) => (part === '*' ? '.*' : part === '?' ? '.' : RE2JS.quote(part)));
  const compiled = RE2JS.compile(`^(?:${parts.join('')})$`, RE2JS.DOTALL);
  return (value) => compiled.test(value.slice(0, LONGEST_TEXT));
}

/** Letters that patterns and wildcards look at. */
const LONGEST_TEXT = 65_536;

function pattern(asked: string, quotable: boolean): CompiledTest | { fault: string } {
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(asked);
  } catch (thrown) {
    // re2js throws its own syntax errors; their message quotes the pattern, which the author knows.
    const why = thrown instanceof Error ? thrown.message : 'it does not compile';
    return { fault: `the pattern is no RE2 expression (${why})` };
  }
  const told = quotable ? `the pattern ${JSON.stringify(asked)}` : 'the pattern asked for';
  return {
    // Time grows with the text: an attribute of megabytes must not stop everything else.
    accepts: (value) => compiled.test(value.slice(0, LONGEST_TEXT)),
    holds: `matches ${told}`,
    fails: `does not match ${told}`,
  };
}

function quote(values: readonly (string | number)[]): string {
  const shown = values.slice(0, 5).map((value) => JSON.stringify(value));
  return `${shown.join(', ')}${values.length > 5 ? `, ... (${values.length} in all)` : ''}`;
}
