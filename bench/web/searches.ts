/**
 * What a QIDO client asks of the seeded index (PS3.18 10.6), each key with values of studies that are there. Pure.
 * Called by qido.ts.
 */
import { foldPersonName } from '../../src/dicom/person-name.ts';
import { mix, type SeededStudy, seededStudy } from '../seed/seeded-study.ts';
import type { Request } from './load-job.ts';

export interface SearchKey {
  readonly name: string;
  /** Issue 4: 99 of 100 answers come within so many ms. */
  readonly goalMs: number;
  /** @returns the query of a search that finds this study, if it is among the first hundred */
  query(study: SeededStudy): Record<string, string>;
  /** The study stands in the answer, however many match. */
  readonly exact: boolean;
}

const FAST = 20;
const NAMES = 60;
/** As much as a viewer's list shows. */
const LIMIT = '100';

export const SEARCH_KEYS: readonly SearchKey[] = [
  { name: 'patient ID', goalMs: FAST, exact: true, query: ({ patientId }) => ({ PatientID: patientId }) },
  {
    name: 'accession number',
    goalMs: FAST,
    exact: true,
    query: ({ accessionNumber }) => ({ AccessionNumber: accessionNumber }),
  },
  {
    name: 'study UID',
    goalMs: FAST,
    exact: true,
    query: ({ studyUid }) => ({ StudyInstanceUID: studyUid }),
  },
  {
    name: 'date, one day',
    goalMs: FAST,
    exact: false,
    query: ({ studyDate }) => ({ StudyDate: studyDate, limit: LIMIT }),
  },
  {
    name: 'date, to today',
    goalMs: FAST,
    exact: false,
    query: ({ studyDate }) => ({ StudyDate: `${studyDate}-`, limit: LIMIT }),
  },
  {
    name: 'modality',
    goalMs: FAST,
    exact: false,
    query: ({ modalities }) => ({ ModalitiesInStudy: modalities[0]!, limit: LIMIT }),
  },
  {
    name: 'date and modality',
    goalMs: FAST,
    exact: false,
    query: ({ studyDate, modalities }) => ({
      StudyDate: studyDate,
      ModalitiesInStudy: modalities[0]!,
      limit: LIMIT,
    }),
  },
  { name: 'no key: the newest', goalMs: FAST, exact: false, query: () => ({ limit: LIMIT }) },
  {
    name: 'name, first 3 letters',
    goalMs: NAMES,
    exact: false,
    query: ({ patientName }) => ({ PatientName: `${[...patientName].slice(0, 3).join('')}*`, limit: LIMIT }),
  },
  {
    name: 'name, family and initial',
    goalMs: NAMES,
    exact: false,
    query: ({ patientName }) => ({ PatientName: `${initialed(patientName)}*`, limit: LIMIT }),
  },
  {
    name: 'name, fuzzy, words the other way round',
    goalMs: NAMES,
    exact: false,
    query: ({ patientName }) => ({ PatientName: turned(patientName), fuzzymatching: 'true', limit: LIMIT }),
  },
];

/** @param studies how many there are, numbers 0 up; @param count searches, of studies by chance */
export function searchesFor(key: SearchKey, studies: number, count: number): Request[] {
  return Array.from({ length: count }, (_, n) => {
    const query = new URLSearchParams(key.query(studyByChance(key, studies, n)));
    return {
      path: `/dicom-web/studies?${query.toString()}`,
      headers: { Accept: 'application/dicom+json' },
    };
  });
}

/** Each key looks for others, so that none finds what another has just brought into memory. */
export function studyByChance(key: SearchKey, studies: number, n: number): SeededStudy {
  return seededStudy(mix(n * 101 + SEARCH_KEYS.indexOf(key) * 7_919 + 1) % studies);
}

/** "Müller^Jürgen" → "Müller^J" */
function initialed(name: string): string {
  const [family = '', given = ''] = alphabetic(name).split('^');
  return `${family}^${[...given][0] ?? ''}`;
}

/** "Müller^Jürgen" → "jurgen muller" */
const turned = (name: string): string =>
  alphabetic(name).split('^').slice(0, 2).reverse().map(foldPersonName).join(' ');

const alphabetic = (name: string): string => name.split('=')[0]!;
