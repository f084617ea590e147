/**
 * The condition of a rule: its JSON form, checked against the data dictionary and compiled once per rule version.
 * rule.ts parses with it, match-rule.ts walks the compiled tree. Declarative throughout: nothing is ever evaluated as
 * code. What a key means stands in subject.ts, how a value is tested in value-test.ts.
 */
import { z } from 'zod';
import {
  ASSOCIATION_KEYS,
  type Meaning,
  meaningOf,
  RESERVED_KEYS,
  STUDY_DATE,
  type Subject,
} from './subject.ts';
import { type TimeWindow, timeWindowSchema } from './time-window.ts';
import { type CompiledTest, compileClock, compileTest } from './value-test.ts';

const scalar = z.union([z.string(), z.number()], { error: 'expected a text or a number' });
const TEST_FORMS =
  'expected a value, a list of values, {"pattern": "..."} or {"from": ..., "to": ...}; ' +
  'conditions stand only in all, any and not';
const notOfForm = (issue: { readonly code: string }): string | undefined =>
  issue.code === 'unrecognized_keys' ? TEST_FORMS : undefined;
const testSchema = z.union(
  [
    scalar.describe('Equals; in text * and ? are wildcards'),
    z.array(scalar).min(1).max(1000).describe('Equals one of them'),
    z
      .strictObject({ pattern: z.string().min(1).max(1000) }, { error: notOfForm })
      .describe('An RE2 pattern, found anywhere in the value'),
    z
      .strictObject({ from: scalar.optional(), to: scalar.optional() }, { error: notOfForm })
      .describe(
        'A range of numbers, dates (YYYYMMDD or YYYY-MM-DD), times (HH:MM) or ages (018Y), both ends included',
      ),
  ],
  { error: TEST_FORMS },
);

type TestJson = z.infer<typeof testSchema>;
export interface Condition {
  [key: string]: TestJson | TimeWindow | TimeWindow[] | Condition | Condition[] | undefined;
}

const keyword = z.string().min(1).max(500);

/** The form alone; compileCondition checks what a schema cannot say. */
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
      present: keyword.optional().describe('The attribute of this keyword has a value'),
      absent: keyword.optional().describe('The attribute of this keyword is missing or empty'),
      Clock: z
        .union([timeWindowSchema, z.array(timeWindowSchema).min(1).max(20)], {
          error:
            'expected {"days": ["mon", "tue"], "from": "20:00", "to": "06:00", "zone": "Europe/Berlin"}, ' +
            'days where not every day is meant, or a list of such windows',
        })
        .optional()
        .describe('The moment at which the rule is asked lies in the window, or in one of them'),
    })
    .catchall(testSchema)
    .meta({
      id: 'Condition',
      description:
        'Keywords of PS3.6 or paths such as RequestAttributesSequence.ScheduledProcedureStepID (any item); ' +
        'private attributes by who reserved them, (0019,"SIEMENS MR HEADER",0C); ' +
        `${ASSOCIATION_KEYS.join(', ')} (the user of a STOW-RS request; an address may be a range such as 10.2.0.0/16); ` +
        'StudyAge (a range of ages such as 007D or 002Y, counted in days from StudyDate); Clock. Of the study: ModalitiesInStudy, NumberOfStudyRelatedInstances, ' +
        'NumberOfStudyRelatedSeries; of the series: NumberOfSeriesRelatedInstances. ' +
        'All entries of one object must hold for the same instance.',
    }),
);

export interface Leaf extends CompiledTest {
  readonly kind: 'leaf';
  readonly subject: Subject;
  /** Where it stands in the rule: when.any[0].Modality */
  readonly path: string;
  /** present and absent look at whether there is a value at all. */
  readonly presence: 'present' | 'absent' | undefined;
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
  /** Groups of the private ones, of which only the object's own header says where they stand. */
  readonly privateGroups: ReadonlySet<string>;
}

const MAX_DEPTH = 16;
const MAX_LEAVES = 200;
const RESERVED: ReadonlySet<string> = new Set(RESERVED_KEYS);

/**
 * Their values identify nobody (they do not stand in PS3.15 Table E.1-1), so reasons may quote what a rule asks of them.
 * Of all others a reason names the keyword alone.
 */
const QUOTABLE: ReadonlySet<string> = new Set([
  'CallingAETitle',
  'CalledAETitle',
  'SourceAddress',
  'StowUser',
  'StudyAge',
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
  const privateGroups = new Set<string>();
  let leaves = 0;

  function meaning(key: string, path: string): Meaning | undefined {
    leaves++;
    const found = meaningOf(key);
    if (typeof found === 'string') {
      faults.push(`${path}: ${found}`);
      return undefined;
    }
    if (found.subject.kind === 'attribute') {
      const [first] = found.subject.path;
      if (typeof first === 'string') tags.add(first);
      else privateGroups.add(first!.group);
    }
    if (found.subject.kind === 'study-age') tags.add(STUDY_DATE);
    return found;
  }

  function presenceLeaf(key: unknown, presence: 'present' | 'absent', path: string): ConditionNode[] {
    const found = typeof key === 'string' ? meaning(key, path) : undefined;
    if (!found) return [];
    const [holds, fails] = presence === 'present' ? ['is present', 'is absent'] : ['is absent', 'is present'];
    return [{ kind: 'leaf', subject: found.subject, path, accepts: () => true, presence, holds, fails }];
  }

  function testLeaf(key: string, test: TestJson | TimeWindow | TimeWindow[], path: string): ConditionNode[] {
    const found = meaning(key, path);
    if (!found) return [];
    const { subject, vr } = found;
    if (subject.kind === 'study-age' && (typeof test !== 'object' || !('from' in test || 'to' in test))) {
      faults.push(`${path}: the age of a study is asked by a range, such as {"to": "007D"}`);
      return [];
    }
    const compiled =
      subject.kind === 'clock'
        ? compileClock([test].flat() as TimeWindow[])
        : compileTest(test as TestJson, vr, QUOTABLE.has(subject.keyword));
    if ('fault' in compiled) {
      faults.push(`${path}: ${compiled.fault}`);
      return [];
    }
    return [{ kind: 'leaf', subject, path, presence: undefined, ...compiled }];
  }

  function list(conditions: Condition[], path: string, depth: number): ConditionNode[] {
    return conditions.map((inner, index) => node(inner, `${path}[${index}]`, depth + 1));
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
      if (!RESERVED.has(key)) parts.push(...testLeaf(key, value as TestJson | TimeWindow, here));
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
  return faults.length > 0 ? { faults } : { some, every, tags, privateGroups };
}
