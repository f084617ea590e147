/**
 * What a condition of a rule may look at: an attribute by keyword or path, a fact of the association, the study's age,
 * the clock. condition.ts asks here what a key means, match-rule.ts what a subject's values are.
 */
import { attribute, label } from '../dicom/attributes.ts';
import { nearestKeyword } from '../dicom/nearest-keyword.ts';
import {
  isPrivateGroup,
  type PrivateTag,
  pathParts,
  privateTag,
  privateTagText,
} from '../dicom/private-tag.ts';
import { isDate } from './range.ts';
import { ADDRESS } from './value-test.ts';

/** What is known of the association or request that brought an instance, beside its data set. */
export const ASSOCIATION_KEYS = ['CallingAETitle', 'CalledAETitle', 'SourceAddress', 'StowUser'] as const;
export type AssociationKey = (typeof ASSOCIATION_KEYS)[number];

export const SPECIAL_KEYS = [...ASSOCIATION_KEYS, 'StudyAge', 'Clock'] as const;
/** Words of the language itself. */
export const RESERVED_KEYS = ['all', 'any', 'not', 'present', 'absent'] as const;

/** An attribute by its tag, or a private one by who reserved it. */
export type PathStep = string | PrivateTag;

export type Subject =
  | { readonly kind: 'attribute'; readonly keyword: string; readonly path: readonly PathStep[] }
  | { readonly kind: 'association'; readonly keyword: AssociationKey }
  /** How long ago the study was made, as its (0008,0020) StudyDate says. */
  | { readonly kind: 'study-age'; readonly keyword: 'StudyAge' }
  /** The moment at which the rule is asked. */
  | { readonly kind: 'clock'; readonly keyword: 'Clock' };

export interface Meaning {
  readonly subject: Subject;
  /** Undefined for a private attribute: each object says its own. */
  readonly vr: string | undefined;
}

/** First tag a study's age is read from. */
export const STUDY_DATE = '00080020';

/** @returns what the key means, or what is wrong with it as a sentence */
export function meaningOf(key: string): Meaning | string {
  const association = ASSOCIATION_KEYS.find((name) => name === key);
  // Any text: a user may be DOMAIN\name.
  if (association)
    return {
      subject: { kind: 'association', keyword: association },
      vr: association === 'SourceAddress' ? ADDRESS : 'UT',
    };
  if (key === 'StudyAge') return { subject: { kind: 'study-age', keyword: key }, vr: 'AS' };
  if (key === 'Clock') return { subject: { kind: 'clock', keyword: key }, vr: '' };
  const steps = pathParts(key).map((part) => stepOf(part, key));
  const fault = steps.find((step) => typeof step === 'string');
  if (typeof fault === 'string') return fault;
  const known = steps.filter((step) => typeof step !== 'string');
  const flat = known.slice(0, -1).find(({ vr }) => vr !== undefined && vr !== 'SQ');
  if (flat) return `${flat.keyword} is no sequence (${flat.vr}), so nothing lies within it`;
  const path = known.map(({ step }) => step);
  const keyword = known.map((one) => one.keyword).join('.');
  return outside(path[0]!) ?? { subject: { kind: 'attribute', keyword, path }, vr: known.at(-1)?.vr };
}

interface Step {
  readonly step: PathStep;
  readonly keyword: string;
  readonly vr: string | undefined;
}

const PLAIN_TAG = /^\(?([0-9A-F]{4}),?([0-9A-F]{4})\)?$/i;

function stepOf(part: string, key: string): Step | string {
  const own = privateTag(part);
  if (own) return { step: own, keyword: privateTagText(own), vr: undefined };
  const [, group = '', element = ''] = PLAIN_TAG.exec(part) ?? [];
  const found = attribute(`${group}${element}`) ?? attribute(part);
  if (found) return { step: found.tag, keyword: found.keyword, vr: found.vr };
  if (isPrivateGroup(group) || /^\([0-9A-F]{3}[13579BDF],/i.test(part))
    return `${part} is private: say whose it is, as in (0019,"SIEMENS MR HEADER",0C)`;
  return unknownKeyword(part, key);
}

/** Of File Meta only the transfer syntax is kept; commands and what stands from the pixels on are no part of a header. */
function outside(first: PathStep): string | undefined {
  if (typeof first !== 'string' || first === TRANSFER_SYNTAX) return undefined;
  if (first >= '0008' && first < '7FE0' && !first.endsWith('0000')) return undefined;
  return `${label(first)} is not in what rules look at: a data set up to its pixels`;
}

const TRANSFER_SYNTAX = '00020010';

function unknownKeyword(part: string, key: string): string {
  const others = part === key ? [...SPECIAL_KEYS, ...RESERVED_KEYS] : [];
  const nearest = nearestKeyword(part, others);
  const meant = nearest === undefined ? '' : `; did you mean ${nearest}?`;
  const beside = others.length === 0 ? '' : ` and none of ${others.join(', ')}`;
  return `${part || 'an empty text'} is no attribute keyword of the data dictionary (PS3.6)${beside}${meant}`;
}

const DAY_MS = 86_400_000;

/**
 * Whole days from a StudyDate (YYYYMMDD) to a moment, by the wall clock of this machine.
 * @returns as an age ("12D"); undefined without a date. One day ahead is today in another time zone; more is unknown.
 */
export function studyAge(studyDate: string, at: Date): string | undefined {
  const digits = studyDate.trim().replaceAll(/[-.]/g, '');
  if (!isDate(digits)) return undefined;
  const made = Date.UTC(Number(digits.slice(0, 4)), Number(digits.slice(4, 6)) - 1, Number(digits.slice(6)));
  const today = Date.UTC(at.getFullYear(), at.getMonth(), at.getDate());
  const days = Math.round((today - made) / DAY_MS);
  return days < -1 ? undefined : `${Math.max(days, 0)}D`;
}
