/**
 * The condition of a rule: its JSON form, checked against the data dictionary and compiled once per rule version.
 * rule.ts parses with it, match-rule.ts walks the compiled tree. Declarative throughout: patterns are RE2 (linear
 * time), nothing is ever evaluated as code.
 */
import { RE2JS } from 're2js';
import { z } from 'zod';
import { attribute, attributePath } from '../dicom/attributes.ts';
import { compileRange, isNumericVr, type RangeTest, rangeVrs } from './range.ts';

const scalar = z.union([z.string(), z.number()]);
const testSchema = z.union([
  scalar.describe('Equals; in text * and ? are wildcards'),
  z.array(scalar).min(1).max(1000).describe('Equals one of them'),
  z
    .strictObject({ pattern: z.string().min(1).max(1000) })
    .describe('An RE2 pattern, found anywhere in the value'),
  z
    .strictObject({ from: scalar.optional(), to: scalar.optional() })
    .describe('A range of numbers, dates (YYYYMMDD or YYYY-MM-DD), times or ages, both ends included'),
]);

export type Test = z.infer<typeof testSchema>;
export interface Condition {
  [key: string]: Test | Condition | Condition[] | undefined;
}

/** The form alone; parseCondition checks what a schema cannot say. */
export const conditionSchema: z.ZodType<Condition> = z.lazy(() =>
  z
    .object({
      all: z
        .union([z.array(conditionSchema).min(1), conditionSchema])
        .optional()
        .describe(
          'A list: all of them hold. One condition: every instance of the unit meets it (top level only)',
        ),
      any: z.array(conditionSchema).min(1).optional().describe('At least one of them holds'),
      not: conditionSchema.optional().describe('It does not hold'),
      present: z.string().optional().describe('The attribute of this keyword has a value'),
      absent: z.string().optional().describe('The attribute of this keyword is missing or empty'),
    })
    .catchall(testSchema)
    .meta({
      id: 'Condition',
      description:
        'Keywords of PS3.6 (or paths such as RequestAttributesSequence.ScheduledProcedureStepID), ' +
        `${SPECIAL_KEYS.join(', ')}. All entries of one object must hold for the same instance.`,
    }),
);

/** What is known of the association, beside the data set. */
export const SPECIAL_KEYS = ['CallingAETitle', 'CalledAETitle', 'SourceAddress'] as const;
export type SpecialKey = (typeof SPECIAL_KEYS)[number];

/** Where a leaf looks: a path of tags in the data set, or a fact of the association. */
export type Subject =
  | { readonly kind: 'attribute'; readonly keyword: string; readonly tags: readonly string[] }
  | { readonly kind: 'association'; readonly keyword: SpecialKey };

export interface Leaf {
  readonly kind: 'leaf';
  readonly subject: Subject;
  /** Whether one value of the subject satisfies the leaf. */
  readonly accepts: (value: string) => boolean;
  /** present and absent look at whether there is a value at all. */
  readonly presence: 'present' | 'absent' | undefined;
  /** "is "CT"" and "is not "CT"", without identifying values. */
  readonly holds: string;
  readonly fails: string;
}

export type ConditionNode =
  | Leaf
  | { readonly kind: 'and' | 'or'; readonly of: readonly ConditionNode[] }
  | { readonly kind: 'not'; readonly of: ConditionNode };

export interface CompiledCondition {
  /** Must hold for at least one instance of the unit. */
  readonly some: ConditionNode;
  /** Must hold for every instance of the unit. */
  readonly every: ConditionNode | undefined;
  /** First tags of the attributes that are looked at. */
  readonly tags: ReadonlySet<string>;
}

const MAX_DEPTH = 16;
const MAX_LEAVES = 200;
const RESERVED = new Set(['all', 'any', 'not', 'present', 'absent']);

/**
 * Their values identify nobody (they do not stand in PS3.15 Table E.1-1), so reasons may quote what a rule asks of them.
 * Of all others a reason names the keyword alone.
 */
const QUOTABLE = new Set([
  'CallingAETitle',
  'CalledAETitle',
  'SourceAddress',
  'Modality',
  'ModalitiesInStudy',
  'SOPClassUID',
  'TransferSyntaxUID',
  'NumberOfStudyRelatedInstances',
  'NumberOfStudyRelatedSeries',
  'NumberOfSeriesRelatedInstances',
  'NumberOfFrames',
  'Rows',
  'Columns',
  'SeriesNumber',
  'InstanceNumber',
  'ImageType',
  'BodyPartExamined',
]);

/** @returns the compiled condition, or every fault as a sentence that begins with the path */
export function compileCondition(condition: Condition): CompiledCondition | { faults: string[] } {
  const faults: string[] = [];
  const tags = new Set<string>();
  let leaves = 0;

  function subjectOf(key: string, at: string): { subject: Subject; vr: string } | undefined {
    const special = SPECIAL_KEYS.find((name) => name === key);
    if (special) return { subject: { kind: 'association', keyword: special }, vr: 'LO' };
    const path = attributePath(key);
    const found = attribute(key.split('.').at(-1) ?? '');
    if (!path || !found) {
      faults.push(
        `${at}: ${key} is no attribute keyword of the data dictionary (PS3.6) and none of ${SPECIAL_KEYS.join(', ')}, all, any, not, present, absent`,
      );
      return undefined;
    }
    tags.add(path[0]!);
    return { subject: { kind: 'attribute', keyword: key, tags: path }, vr: found.vr };
  }

  function presenceLeaf(key: unknown, presence: 'present' | 'absent', at: string): ConditionNode[] {
    if (typeof key !== 'string') return [];
    const found = subjectOf(key, at);
    leaves++;
    if (!found) return [];
    const [holds, fails] = presence === 'present' ? ['is present', 'is absent'] : ['is absent', 'is present'];
    return [{ kind: 'leaf', subject: found.subject, accepts: () => true, presence, holds, fails }];
  }

  function testLeaf(key: string, test: Test, at: string): ConditionNode[] {
    const found = subjectOf(key, at);
    leaves++;
    if (!found) return [];
    const compiled = compileTest(test, found.vr, QUOTABLE.has(key));
    if ('fault' in compiled) {
      faults.push(`${at}: ${compiled.fault}`);
      return [];
    }
    return [{ kind: 'leaf', subject: found.subject, presence: undefined, ...compiled }];
  }

  function list(conditions: Condition[], at: string, depth: number): ConditionNode[] {
    return conditions.map((inner, index) => node(inner, `${at}[${index}]`, depth + 1));
  }

  function node(from: Condition, at: string, depth: number): ConditionNode {
    if (depth > MAX_DEPTH) {
      faults.push(`${at}: conditions are nested deeper than ${MAX_DEPTH}`);
      return { kind: 'and', of: [] };
    }
    const parts: ConditionNode[] = [];
    for (const [key, value] of Object.entries(from)) {
      const here = `${at}.${key}`;
      if (value === undefined) continue;
      if (!RESERVED.has(key)) parts.push(...testLeaf(key, value as Test, here));
      else if (key === 'present' || key === 'absent') parts.push(...presenceLeaf(value, key, here));
      else if (key === 'not') parts.push({ kind: 'not', of: node(value as Condition, here, depth + 1) });
      else if (Array.isArray(value))
        parts.push({ kind: key === 'any' ? 'or' : 'and', of: list(value as Condition[], here, depth) });
      else if (depth > 0)
        faults.push(`${here}: "all" with one condition (every instance) stands only at the top of when`);
    }
    return parts.length === 1 ? parts[0]! : { kind: 'and', of: parts };
  }

  const some = node(condition, 'when', 0);
  const { all } = condition;
  const every =
    all !== undefined && !Array.isArray(all) && typeof all === 'object'
      ? node(all as Condition, 'when.all', 1)
      : undefined;
  if (leaves > MAX_LEAVES) faults.push(`when: ${leaves} conditions are more than ${MAX_LEAVES}`);
  return faults.length > 0 ? { faults } : { some, every, tags };
}

type CompiledTest = Pick<Leaf, 'accepts' | 'holds' | 'fails'>;

function compileTest(test: Test, vr: string, quotable: boolean): CompiledTest | { fault: string } {
  if (vr === 'SQ')
    return {
      fault: 'a sequence has no value to test; name an attribute within it, or use present or absent',
    };
  if (Array.isArray(test)) {
    const each = test.map((value) => equals(value, vr));
    const fault = each.find((one) => typeof one === 'string');
    if (typeof fault === 'string') return { fault };
    const accepts = (value: string): boolean => each.some((one) => typeof one !== 'string' && one(value));
    const asked = quotable ? `one of ${quote(test)}` : 'one of the values asked for';
    return { accepts, holds: `is ${asked}`, fails: `is not ${asked}` };
  }
  if (typeof test !== 'object') {
    const accepts = equals(test, vr);
    if (typeof accepts === 'string') return { fault: accepts };
    const asked = quotable ? quote([test]) : 'the value asked for';
    return { accepts, holds: `is ${asked}`, fails: `is not ${asked}` };
  }
  if ('pattern' in test) {
    const compiled = compilePattern(test.pattern);
    if ('fault' in compiled) return compiled;
    const asked = quotable ? `the pattern ${JSON.stringify(test.pattern)}` : 'the pattern asked for';
    return {
      accepts: (value) => compiled.pattern.test(value),
      holds: `matches ${asked}`,
      fails: `does not match ${asked}`,
    };
  }
  return range(test, vr, quotable);
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
  const asked = quotable ? `the range ${bounds}` : 'the range asked for';
  return { accepts: compiled, holds: `lies in ${asked}`, fails: `lies outside ${asked}` };
}

/** @returns a test of one value, or the fault */
function equals(asked: string | number, vr: string): ((value: string) => boolean) | string {
  if (isNumericVr(vr)) {
    const number = typeof asked === 'number' ? asked : Number(asked.trim() || Number.NaN);
    if (!Number.isFinite(number)) return `this attribute is a number (${vr}), "${asked}" is none`;
    return (value) => Number(value) === number;
  }
  const text = String(asked).trim();
  if (!/[*?]/.test(text)) return (value) => value === text;
  const parts = text
    .split(/([*?])/)
    .map((part) => (part === '*' ? '.*' : part === '?' ? '.' : RE2JS.quote(part)));
  const pattern = RE2JS.compile(`^(?:${parts.join('')})$`, RE2JS.DOTALL);
  return (value) => pattern.test(value);
}

function compilePattern(pattern: string): { pattern: RE2JS } | { fault: string } {
  try {
    return { pattern: RE2JS.compile(pattern) };
  } catch (thrown) {
    // re2js throws its own syntax errors; their message quotes the pattern, which the author knows.
    const why = thrown instanceof Error ? thrown.message : 'it does not compile';
    return { fault: `the pattern is no RE2 expression (${why})` };
  }
}

function quote(values: readonly (string | number)[]): string {
  const shown = values.slice(0, 5).map((value) => JSON.stringify(value));
  return `${shown.join(', ')}${values.length > 5 ? `, ... (${values.length} in all)` : ''}`;
}
