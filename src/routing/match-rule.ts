/**
 * Whether a rule's condition holds for a unit (an instance, a series, a study), and the condition that decided.
 * Pure: route-study.ts feeds it facts instance by instance, so a study of any size costs the same memory.
 * Reasons name keywords and counts, and quote values only of attributes that identify nobody.
 */
import type { DicomJson, DicomJsonElement } from '../dicom/dicom-json.ts';
import { placesOf } from '../dicom/private-tag.ts';
import type { CompiledCondition, ConditionNode, Leaf } from './condition.ts';
import { type AssociationKey, type PathStep, STUDY_DATE, type Subject, studyAge } from './subject.ts';

/** What is known of one instance of the unit. */
export interface InstanceFacts {
  /** DICOM JSON (PS3.18 F.2) of the instance, its series and its study: the first that has an attribute gives it. */
  readonly dataSets: readonly DicomJson[];
  readonly association: Readonly<Record<AssociationKey, string | undefined>>;
  /** The moment at which the rule is asked. */
  readonly at: Date;
}

/** One condition of a rule that decided. */
export interface Deciding {
  /** Where it stands in the rule: when.any[0].Modality */
  readonly path: string;
  readonly attribute: string;
  readonly held: boolean;
}

export interface Decision {
  readonly matched: boolean;
  /** The condition that decided, as a sentence without patient data. */
  readonly reason: string;
  /** The same for programs; none where no condition was asked. */
  readonly decided: readonly Deciding[];
  /** Instances looked at. */
  readonly seen: number;
}

interface Verdict {
  readonly held: boolean;
  readonly because: readonly { leaf: Leaf; held: boolean; missing: boolean }[];
}

/** Distinct reasons kept while looking at a unit; leaves are few, so this is rarely reached. */
const KEPT_REASONS = 16;
const TOLD_REASONS = 3;
const TOLD_CONDITIONS = 16;
const REASON_LENGTH = 600;

export interface Matching {
  /** Looks at one more instance of the unit; true when this instance alone meets the condition. */
  see(facts: InstanceFacts): boolean;
  /** Nothing more can change the decision. */
  readonly settled: boolean;
  decide(): Decision;
}

/** A condition holds when any instance of the unit meets it; what stands in "all" must be met by every instance. */
export function beginMatch(condition: CompiledCondition): Matching {
  let seen = 0;
  let some: Verdict | undefined;
  let broken: Verdict | undefined;
  const failures = new Map<string, { verdict: Verdict; times: number }>();

  return {
    see(facts) {
      seen++;
      const verdict = walk(condition.some, facts);
      if (verdict.held) some ??= verdict;
      else count(failures, verdict);
      if (condition.every === undefined) return verdict.held;
      const each = walk(condition.every, facts);
      if (!each.held) broken ??= each;
      return verdict.held && each.held;
    },
    get settled() {
      return broken !== undefined || (some !== undefined && condition.every === undefined);
    },
    decide() {
      if (seen === 0) return { matched: false, reason: 'there is no instance to look at', decided: [], seen };
      if (broken !== undefined) {
        const reason = cut(`not every instance meets "all": ${words(broken)}`);
        return { matched: false, reason, decided: deciding([broken]), seen };
      }
      if (some !== undefined) {
        const every = condition.every === undefined ? '' : `, and every one of ${seen} instances meets "all"`;
        const reason = cut(`${words(some) || 'the rule has no condition'}${every}`);
        return { matched: true, reason, decided: deciding([some]), seen };
      }
      const told = [...failures.values()].sort((a, b) => b.times - a.times).slice(0, TOLD_REASONS);
      const each = told.map(({ verdict, times }) => `${words(verdict)} (${times})`).join('; ');
      const reason = seen === 1 ? words(told[0]!.verdict) : `none of ${seen} instances meets it: ${each}`;
      return {
        matched: false,
        reason: cut(reason),
        decided: deciding(told.map(({ verdict }) => verdict)),
        seen,
      };
    },
  };
}

/** The decision for a unit whose facts are at hand. */
export function matchRule(condition: CompiledCondition, unit: Iterable<InstanceFacts>): Decision {
  const matching = beginMatch(condition);
  for (const facts of unit) {
    matching.see(facts);
    if (matching.settled) break;
  }
  return matching.decide();
}

function walk(node: ConditionNode, facts: InstanceFacts): Verdict {
  if (node.kind === 'leaf') return leafVerdict(node, facts);
  if (node.kind === 'not') {
    const inner = walk(node.of, facts);
    return { held: !inner.held, because: inner.because };
  }
  // A conjunction is decided by its first failure, a disjunction by its first success, else by all of them together.
  const deciding = node.kind === 'or';
  const because: Verdict['because'][number][] = [];
  for (const part of node.of) {
    const verdict = walk(part, facts);
    if (verdict.held === deciding) return verdict;
    because.push(...verdict.because);
  }
  return { held: !deciding, because };
}

function leafVerdict(leaf: Leaf, facts: InstanceFacts): Verdict {
  const values = valuesOf(leaf.subject, facts);
  const missing = values.length === 0;
  const held =
    leaf.presence === undefined
      ? values.some(({ text, vr }) => text !== undefined && leaf.accepts(text, vr))
      : missing === (leaf.presence === 'absent');
  return { held, because: [{ leaf, held, missing }] };
}

function words(verdict: Verdict): string {
  return verdict.because
    .map(({ leaf, held, missing }) => {
      if (missing && !held && leaf.presence === undefined) return `${leaf.subject.keyword} is absent`;
      return `${leaf.subject.keyword} ${held ? leaf.holds : leaf.fails}`;
    })
    .join(' and ');
}

/** Each condition once, in the order in which they were asked. */
function deciding(verdicts: readonly Verdict[]): Deciding[] {
  const byPath = new Map<string, Deciding>();
  for (const { because } of verdicts)
    for (const { leaf, held } of because) {
      if (byPath.size >= TOLD_CONDITIONS) break;
      byPath.set(leaf.path, { path: leaf.path, attribute: leaf.subject.keyword, held });
    }
  return [...byPath.values()];
}

interface Value {
  /** Undefined for what is looked at only for being there: bytes, items. */
  readonly text: string | undefined;
  readonly vr: string;
}

function valuesOf(subject: Subject, facts: InstanceFacts): readonly Value[] {
  switch (subject.kind) {
    case 'association': {
      const text = facts.association[subject.keyword];
      return text ? [{ text, vr: 'UT' }] : [];
    }
    case 'clock':
      return [{ text: facts.at.toISOString(), vr: '' }];
    case 'study-age': {
      const [date] = attributeValues([STUDY_DATE], facts);
      const text = date?.text && studyAge(date.text, facts.at);
      return text === undefined ? [] : [{ text, vr: 'AS' }];
    }
    case 'attribute':
      return attributeValues(subject.path, facts);
  }
}

function attributeValues(path: readonly PathStep[], facts: InstanceFacts): readonly Value[] {
  for (const dataSet of facts.dataSets) {
    const values = inDataSet(dataSet, path);
    if (values.length > 0) return values;
  }
  return [];
}

/** Values at a path; every item of a sequence on the way is looked into. Empty values do not count. */
function inDataSet(dataSet: DicomJson, [step, ...rest]: readonly PathStep[]): Value[] {
  return placesIn(dataSet, step).flatMap((tag) => {
    const element = dataSet[tag];
    if (!element) return [];
    if (rest.length > 0)
      return (element.Value ?? []).flatMap((item) =>
        isRecord(item) ? inDataSet(item as DicomJson, rest) : [],
      );
    return textsOf(element).flatMap((text) => (text === '' ? [] : [{ text, vr: element.vr }]));
  });
}

function placesIn(dataSet: DicomJson, step: PathStep | undefined): readonly string[] {
  if (step === undefined) return [];
  if (typeof step === 'string') return [step];
  return placesOf(step, Object.keys(dataSet), (tag) => {
    const [creator] = dataSet[tag]?.Value ?? [];
    return typeof creator === 'string' ? creator : undefined;
  });
}

function textsOf({ vr, Value: values = [], InlineBinary, BulkDataURI }: DicomJsonElement): Value['text'][] {
  if (values.length > 0) return values.flatMap((value) => asTexts(value, vr));
  // A private value that came without its VR: text, where it looks like it.
  if (vr === 'UN' && InlineBinary !== undefined) return unknownTexts(Buffer.from(InlineBinary, 'base64'));
  return InlineBinary !== undefined || BulkDataURI !== undefined ? [undefined] : [];
}

function unknownTexts(bytes: Buffer): Value['text'][] {
  const text = bytes.toString('latin1').replace(/\0$/, '').trimEnd();
  const isText = text !== '' && /^[\x20-\x7e]*$/.test(text);
  return isText ? text.split('\\').map((one) => one.trim()) : [undefined];
}

/** A person name counts by each of its groups, and whole. */
function asTexts(value: unknown, vr: string): Value['text'][] {
  if (typeof value === 'string') return [value.trim()];
  if (typeof value === 'number' || typeof value === 'bigint') return [String(value)];
  if (!isRecord(value)) return [];
  if (vr !== 'PN') return [undefined];
  const groups = ['Alphabetic', 'Ideographic', 'Phonetic'].map((part) => {
    const name = value[part];
    return typeof name === 'string' ? name.trim() : '';
  });
  const whole = groups.join('=').replace(/=+$/, '');
  return [...new Set([...groups, whole])];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function count(failures: Map<string, { verdict: Verdict; times: number }>, verdict: Verdict): void {
  const why = words(verdict);
  const known = failures.get(why);
  if (known) known.times++;
  else if (failures.size < KEPT_REASONS) failures.set(why, { verdict, times: 1 });
}

function cut(text: string): string {
  return text.length <= REASON_LENGTH ? text : `${text.slice(0, REASON_LENGTH - 3)}...`;
}
