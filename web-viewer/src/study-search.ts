/**
 * What a person asked the study list for, in its three forms:
 * the form's fields, the page's own shareable query, and the query that QIDO-RS understands (PS3.18 10.6).
 * Pure; called by study-list.tsx and dicomweb.ts.
 */
import { toDicomDate } from './dicom-date.ts';

export interface StudySearch {
  name: string;
  id: string;
  accession: string;
  modality: string;
  /** ISO dates, both inclusive, '' for open. */
  from: string;
  to: string;
  /** Counted from 0. */
  page: number;
}

export const EVERYTHING: StudySearch = {
  name: '',
  id: '',
  accession: '',
  modality: '',
  from: '',
  to: '',
  page: 0,
};

export const PAGE_SIZE = 50;

const FIELDS = ['name', 'id', 'accession', 'modality', 'from', 'to'] as const;

export function readSearch(query: string): StudySearch {
  const params = new URLSearchParams(query);
  const search = { ...EVERYTHING };
  for (const field of FIELDS) search[field] = params.get(field) ?? '';
  const page = Number(params.get('page') ?? '1');
  search.page = Number.isInteger(page) && page > 0 ? page - 1 : 0;
  return search;
}

/** The query with its '?', or '' when nothing is asked. */
export function writeSearch(search: StudySearch): string {
  const params = new URLSearchParams();
  for (const field of FIELDS) if (search[field].trim() !== '') params.set(field, search[field].trim());
  if (search.page > 0) params.set('page', String(search.page + 1));
  const query = params.toString();
  return query === '' ? '' : `?${query}`;
}

/** True when the search names nobody and nothing, so an empty answer means an empty archive. */
export function isEverything(search: StudySearch): boolean {
  return FIELDS.every((field) => search[field].trim() === '');
}

/**
 * The QIDO-RS parameters. One study more than a page is asked for: its presence says that there is a next page,
 * which no answer of QIDO-RS says by itself.
 */
export function toQido(search: StudySearch): URLSearchParams {
  const params = new URLSearchParams();
  if (search.name.trim() !== '') params.set('PatientName', namePattern(search.name));
  if (search.id.trim() !== '') params.set('PatientID', containing(search.id));
  if (search.accession.trim() !== '') params.set('AccessionNumber', containing(search.accession));
  if (search.modality.trim() !== '') params.set('ModalitiesInStudy', search.modality.trim().toUpperCase());
  const from = toDicomDate(search.from);
  const to = toDicomDate(search.to);
  if (from !== '' || to !== '') params.set('StudyDate', from === to ? from : `${from}-${to}`);
  params.set('includefield', '00081030');
  params.set('limit', String(PAGE_SIZE + 1));
  params.set('offset', String(search.page * PAGE_SIZE));
  return params;
}

/** A value that holds the text anywhere (PS3.4 C.2.2.2.4), unless the person wrote wildcards of their own. */
function containing(typed: string): string {
  const value = typed.trim();
  return /[*?]/.test(value) ? value : `*${value}*`;
}

/** 'Doe, Jane' as the list shows it, or 'doe jane' in haste, both find 'DOE^JANE^M'. */
function namePattern(typed: string): string {
  const value = typed.trim();
  if (/[*?^]/.test(value)) return value;
  return `*${value
    .split(/[\s,]+/)
    .filter((part) => part !== '')
    .join('*')}*`;
}
