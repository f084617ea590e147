/**
 * What a condition of a rule may look at: an attribute by keyword or path, a fact of the association, the study's age,
 * the clock. condition.ts asks here what a key means, match-rule.ts what a subject's values are.
 */
import { attribute, attributePath } from '../dicom/attributes.ts';
import { nearestKeyword } from '../dicom/nearest-keyword.ts';

/** What is known of the association or request that brought an instance, beside its data set. */
export const ASSOCIATION_KEYS = ['CallingAETitle', 'CalledAETitle', 'SourceAddress', 'StowUser'] as const;
export type AssociationKey = (typeof ASSOCIATION_KEYS)[number];

export const SPECIAL_KEYS = [...ASSOCIATION_KEYS, 'StudyAge', 'Clock'] as const;
/** Words of the language itself. */
export const RESERVED_KEYS = ['all', 'any', 'not', 'present', 'absent'] as const;

export type Subject =
  | { readonly kind: 'attribute'; readonly keyword: string; readonly tags: readonly string[] }
  | { readonly kind: 'association'; readonly keyword: AssociationKey }
  /** How long ago the study was made, as its (0008,0020) StudyDate says. */
  | { readonly kind: 'study-age'; readonly keyword: 'StudyAge' }
  /** The moment at which the rule is asked. */
  | { readonly kind: 'clock'; readonly keyword: 'Clock' };

export interface Meaning {
  readonly subject: Subject;
  readonly vr: string;
}

/** First tag a study's age is read from. */
export const STUDY_DATE = '00080020';

/** @returns what the key means, or what is wrong with it as a sentence */
export function meaningOf(key: string): Meaning | string {
  const association = ASSOCIATION_KEYS.find((name) => name === key);
  if (association) return { subject: { kind: 'association', keyword: association }, vr: 'LO' };
  if (key === 'StudyAge') return { subject: { kind: 'study-age', keyword: key }, vr: 'AS' };
  if (key === 'Clock') return { subject: { kind: 'clock', keyword: key }, vr: '' };
  const parts = key.split('.');
  const found = parts.map((part) => attribute(part));
  const unknown = found.indexOf(undefined);
  if (unknown >= 0) return unknownKeyword(parts[unknown] ?? '', key);
  const flat = found.slice(0, -1).find((one) => one?.vr !== 'SQ');
  if (flat) return `${flat.keyword} is no sequence (${flat.vr}), so nothing lies within it`;
  const keyword = found.map((one) => one?.keyword).join('.');
  return {
    subject: { kind: 'attribute', keyword, tags: attributePath(key) ?? [] },
    vr: found.at(-1)?.vr ?? 'UN',
  };
}

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
  const [, year, month, day] = /^(\d{4})[.-]?(\d{2})[.-]?(\d{2})$/.exec(studyDate.trim()) ?? [];
  if (day === undefined) return undefined;
  const made = Date.UTC(Number(year), Number(month) - 1, Number(day));
  const today = Date.UTC(at.getFullYear(), at.getMonth(), at.getDate());
  const days = Math.round((today - made) / DAY_MS);
  return days < -1 ? undefined : `${Math.max(days, 0)}D`;
}
