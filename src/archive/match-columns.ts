/**
 * Where the index keeps each attribute: in a column of study_key (0008_qido.sql), in one of series or instance, or in
 * the attributes of a row as DICOM JSON. Naming a place in a search's statement joins its table.
 * Called by match-sql.ts and the files of conditions beside it.
 */
import type { Criterion, Level, StudySearch } from './find-studies.ts';
import { INSTANCE_LEVEL, SERIES_LEVEL, STUDY_LEVEL } from './indexed-attributes.ts';

/** Tables a search reads beside that of its level: study_key, study, study_modality. */
export type Joined = Set<'k' | 's' | 'm'>;
export type Parameter = (value: unknown) => string;

/** What the statements of one search share. */
export interface Asking {
  readonly search: StudySearch;
  readonly parameter: Parameter;
  readonly joined: Joined;
  /** The one column that a pattern for any representation of the patient's name is asked of; all when not given. */
  readonly nameColumn?: NameColumn | undefined;
}

export const NAME_COLUMNS = ['k.name_alphabetic', 'k.name_ideographic', 'k.name_phonetic'] as const;
export type NameColumn = (typeof NAME_COLUMNS)[number];

export const MODALITY = '00080060';
export const MODALITIES_IN_STUDY = '00080061';
export const SOP_CLASSES_IN_STUDY = '00080062';
export const COUNTS: Readonly<Record<string, { level: Level; column: string }>> = {
  '00201206': { level: 'study', column: 's.series_count' },
  '00201208': { level: 'study', column: 's.instance_count' },
  '00201209': { level: 'series', column: 'r.instance_count' },
};
const COLUMNS: Readonly<Record<string, string>> = {
  '0020000D': 's.study_uid',
  '00100020': 'k.patient_id',
  '00100021': 'k.issuer',
  '00100030': 'k.birth_date',
  '00080050': 'k.accession_number',
  '00080020': 'k.study_date',
  '00080030': 'k.study_time',
  '00200010': 'k.study_id',
  '0020000E': 'r.series_uid',
  [MODALITY]: 'r.modality',
  '00080018': 'i.sop_uid',
  '00080016': 'i.sop_class',
};
/** PatientID AccessionNumber StudyID StudyDescription */
const TEXTS: ReadonlySet<string> = new Set(['00100020', '00080050', '00200010', '00081030']);
/** StudyInstanceUID SeriesInstanceUID SOPInstanceUID PatientID AccessionNumber PatientBirthDate */
const OF_FEW: ReadonlySet<string> = new Set([
  '0020000D',
  '0020000E',
  '00080018',
  '00100020',
  '00080050',
  '00100030',
]);
/** StudyDate ModalitiesInStudy */
const ORDERED: ReadonlySet<string> = new Set(['00080020', MODALITIES_IN_STUDY]);
export const LEVELS: readonly Level[] = ['study', 'series', 'instance'];
const ALIAS: Readonly<Record<Level, string>> = { study: 's', series: 'r', instance: 'i' };

/** The level whose attributes the index keeps the tag with; undefined when it keeps no such attribute. */
export function levelOfAttribute(tag: string): Level | undefined {
  if (tag === MODALITIES_IN_STUDY || tag === SOP_CLASSES_IN_STUDY) return 'study';
  const count = COUNTS[tag];
  if (count) return count.level;
  if (STUDY_LEVEL.has(tag)) return 'study';
  if (SERIES_LEVEL.has(tag)) return 'series';
  return INSTANCE_LEVEL.has(tag) ? 'instance' : undefined;
}

/** Text as it is kept in a column of study_key, whose parts have an index (0011_search.sql). */
export const isColumnOfText = (tag: string): boolean => TEXTS.has(tag);

/** One value of it leads to few rows, by an index. */
export const isSharedByFew = (tag: string): boolean => OF_FEW.has(tag);

/** The order of answers is by it, or kept for each of its values. */
export const isOrderedBy = (tag: string): boolean => ORDERED.has(tag);

/** How far below the study the criterion is kept. */
export function depthOf({ path }: Criterion): number {
  const level = levelOfAttribute(path[0]!);
  if (level === undefined) throw new Error(`${path[0]} is not kept in the index`);
  return LEVELS.indexOf(level);
}

/** The column of study_key in this search; naming it joins its table. */
export function column(name: string, { joined }: Asking): string {
  if (joined.has('m') && ['study', 'study_date', 'study_time'].includes(name)) return `m.${name}`;
  joined.add('k');
  return `k.${name}`;
}

export function attributesOf(tag: string, { joined }: Asking): string {
  const level = levelOfAttribute(tag);
  if (level === undefined) throw new Error(`${tag} is not kept in the index`);
  if (level === 'study') joined.add('s');
  return `${ALIAS[level]}.attributes`;
}

/** The column that holds the root attribute as it is, if there is one. */
export function columnOf(tag: string, asking: Asking): string | undefined {
  const kept = COLUMNS[tag];
  if (kept?.startsWith('k.')) return column(kept.slice(2), asking);
  if (kept?.startsWith('s.')) asking.joined.add('s');
  return kept;
}

/** The first value of a root attribute as text, empty without. */
export function rootText(tag: string, asking: Asking): string {
  return columnOf(tag, asking) ?? `coalesce(${attributesOf(tag, asking)} #>> '{${tag},Value,0}', '')`;
}
