/**
 * What a QIDO client asks of the seeded index (PS3.18 10.6), each key with values of studies that are there. Pure.
 * Called by qido.ts.
 */
import { foldPersonName } from '../../src/dicom/person-name.ts';
import { ONE_IN } from '../seed/seeded-instances.ts';
import { mix, type SeededStudy, seededStudy } from '../seed/seeded-study.ts';
import type { Request } from './load-job.ts';

export interface SearchKey {
  readonly name: string;
  /** Issue 4: 99 of 100 answers come within so many ms; undefined where it names no time. */
  readonly goalMs: number | undefined;
  /** The study stands in the answer, however many match. */
  readonly exact: boolean;
  /** Only CT studies whose instances the index has. */
  readonly ofWhole?: true;
  /** Below /dicom-web; `studies` when not given. */
  path?(study: SeededStudy): string;
  /**
   * @param another further studies by chance, by number
   * @returns the query of a search that finds this study, if it is among the first hundred
   */
  query(study: SeededStudy, another: (number: number) => SeededStudy): Record<string, string>;
}

const FAST = 20;
const NAMES = 60;
/** As much as a viewer's list shows. */
const LIMIT = '100';
const UIDS = 25;

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
  {
    name: "a week, as OHIF's list asks",
    goalMs: FAST,
    exact: false,
    query: ({ studyDate }) => ({
      StudyDate: `${studyDate}-${daysAfter(studyDate, 6)}`,
      limit: '101',
      offset: '0',
      fuzzymatching: 'true',
      includefield: '00081030,00080060',
    }),
  },
  {
    name: 'a week and modality, first 25',
    goalMs: FAST,
    exact: false,
    query: ({ studyDate, modalities }) => ({
      StudyDate: `${studyDate}-${daysAfter(studyDate, 6)}`,
      ModalitiesInStudy: modalities[0]!,
      limit: '25',
      offset: '0',
    }),
  },
  {
    name: 'two days, all of them',
    goalMs: undefined,
    exact: true,
    query: ({ studyDate }) => ({ StudyDate: `${studyDate}-${daysAfter(studyDate, 1)}` }),
  },
  {
    name: `${UIDS} study UIDs`,
    goalMs: undefined,
    exact: true,
    query: ({ studyUid }, another) => ({
      StudyInstanceUID: [studyUid, ...Array.from({ length: UIDS - 1 }, (_, n) => another(n).studyUid)].join(),
    }),
  },
  {
    name: 'name, three letters in the middle',
    goalMs: undefined,
    exact: false,
    query: ({ patientName }) => ({
      PatientName: `*${[...patientName].slice(1, 4).join('')}*`,
      limit: LIMIT,
    }),
  },
  {
    name: 'patient ID, the middle of it',
    goalMs: undefined,
    exact: true,
    query: ({ patientId }) => ({ PatientID: `*${patientId.slice(2)}*`, limit: LIMIT }),
  },
  {
    name: 'description, a part of it',
    goalMs: undefined,
    exact: false,
    query: ({ attributes }) => ({
      StudyDescription: `*${String(attributes['00081030']?.Value?.[0]).slice(1, 7)}*`,
      limit: LIMIT,
    }),
  },
  {
    name: 'birth date and initial of the name',
    goalMs: undefined,
    exact: true,
    query: ({ attributes, patientName }) => ({
      PatientBirthDate: String(attributes['00100030']?.Value?.[0]),
      PatientName: `${[...patientName][0]}*`,
      limit: LIMIT,
    }),
  },
  {
    name: 'series of a study',
    goalMs: undefined,
    exact: true,
    path: ({ studyUid }) => `studies/${studyUid}/series`,
    query: () => ({}),
  },
  {
    name: 'instances of a series (300)',
    goalMs: undefined,
    exact: true,
    ofWhole: true,
    path: ({ studyUid, series }) => `studies/${studyUid}/series/${series[0]!.seriesUid}/instances`,
    query: () => ({}),
  },
];

/** @param studies how many there are, numbers 0 up; @param count searches, of studies by chance */
export function searchesFor(key: SearchKey, studies: number, count: number): Request[] {
  return Array.from({ length: count }, (_, n) => {
    const study = studyByChance(key, studies, n);
    const another = (number: number): SeededStudy => studyByChance(key, studies, count * (number + 1) + n);
    const query = new URLSearchParams(key.query(study, another)).toString();
    return {
      path: `/dicom-web/${key.path?.(study) ?? 'studies'}${query === '' ? '' : `?${query}`}`,
      headers: { Accept: 'application/dicom+json' },
    };
  });
}

/** Each key looks for others, so that none finds what another has just brought into memory. */
export function studyByChance(key: SearchKey, studies: number, n: number): SeededStudy {
  const number = mix(n * 101 + SEARCH_KEYS.indexOf(key) * 7_919 + 1);
  if (!key.ofWhole) return seededStudy(number % studies);
  const whole = Math.ceil(studies / ONE_IN);
  for (let step = 0; step < whole; step++) {
    const study = seededStudy(((number + step) % whole) * ONE_IN);
    if (study.series[0]?.modality === 'CT') return study;
  }
  throw new Error(`Of ${studies} studies no CT has its instances in the index`);
}

const daysAfter = (date: string, days: number): string =>
  new Date(Date.UTC(Number(date.slice(0, 4)), Number(date.slice(4, 6)) - 1, Number(date.slice(6)) + days))
    .toISOString()
    .slice(0, 10)
    .replaceAll('-', '');

/** "Müller^Jürgen" → "Müller^J" */
function initialed(name: string): string {
  const [family = '', given = ''] = alphabetic(name).split('^');
  return `${family}^${[...given][0] ?? ''}`;
}

/** "Müller^Jürgen" → "jurgen muller" */
const turned = (name: string): string =>
  alphabetic(name).split('^').slice(0, 2).reverse().map(foldPersonName).join(' ');

const alphabetic = (name: string): string => name.split('=')[0]!;
