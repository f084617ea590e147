/**
 * What the viewer knows of a study and of its series before any image is opened: the answers of QIDO-RS, read.
 */
import { type Dataset, number, personName, text, texts } from './dataset.ts';
import { formatPersonNames } from './person-name.ts';

export interface Study {
  studyInstanceUid: string;
  patientName: string;
  patientId: string;
  birthDate: string;
  sex: string;
  date: string;
  time: string;
  accession: string;
  description: string;
  modalities: string[];
  seriesCount: number | undefined;
  instanceCount: number | undefined;
  /** Why it waits for a person to say whose it is, in the archive's words; '' when it does not. */
  held: string;
}

export interface Series {
  seriesInstanceUid: string;
  number: number | undefined;
  modality: string;
  description: string;
  instanceCount: number | undefined;
}

export function readStudy(dataset: Dataset): Study {
  return {
    studyInstanceUid: text(dataset, '0020000D'),
    patientName: formatPersonNames(personName(dataset, '00100010')),
    patientId: text(dataset, '00100020'),
    birthDate: text(dataset, '00100030'),
    sex: text(dataset, '00100040'),
    date: text(dataset, '00080020'),
    time: text(dataset, '00080030'),
    accession: text(dataset, '00080050'),
    description: text(dataset, '00081030'),
    modalities: texts(dataset, '00080061').filter((modality) => modality !== ''),
    seriesCount: number(dataset, '00201206'),
    instanceCount: number(dataset, '00201208'),
    held: heldIn(dataset),
  };
}

/** Isocenter's own attribute: a private block is whose creator says it is (PS3.5 7.8.1). */
function heldIn(dataset: Dataset): string {
  return text(dataset, '00090010') === 'ISOCENTER' ? text(dataset, '00091001') : '';
}

export function readSeries(dataset: Dataset): Series {
  return {
    seriesInstanceUid: text(dataset, '0020000E'),
    number: number(dataset, '00200011'),
    modality: text(dataset, '00080060'),
    description: text(dataset, '0008103E'),
    instanceCount: number(dataset, '00201209'),
  };
}

/** By Series Number as the technologist numbered them; unnumbered ones last, in the server's order. */
export function inSeriesOrder(series: readonly Series[]): Series[] {
  return [...series].sort((a, b) => (a.number ?? Number.MAX_VALUE) - (b.number ?? Number.MAX_VALUE));
}

/** Modalities whose objects hold no picture of their own (PS3.3 C.7.3.1.1.1), or, of SEG, none that is shown. */
const WORDS_ONLY: Readonly<Record<string, string>> = {
  SR: 'Structured report',
  DOC: 'Document',
  PR: 'Presentation state',
  KO: 'Key object selection',
  RTSTRUCT: 'Radiotherapy structure set',
  RTPLAN: 'Radiotherapy plan',
  RTRECORD: 'Radiotherapy record',
  SEG: 'Segmentation',
  REG: 'Registration',
  FID: 'Fiducials',
  AU: 'Audio',
  ECG: 'Electrocardiogram',
  EPS: 'Electrophysiology waveform',
  HD: 'Hemodynamic waveform',
  RESP: 'Respiratory waveform',
  PLAN: 'Plan',
  M3D: '3D model',
  ANN: 'Annotations',
};

/** What a series of this modality holds instead of pictures, or undefined when pictures are to be expected. */
export function wordsFor(modality: string): string | undefined {
  return WORDS_ONLY[modality];
}

/** The series to open first: the first with a volume in it (scouts come before it), else the first with a picture. */
export function firstToRead(series: readonly Series[]): Series | undefined {
  const pictures = series.filter((one) => wordsFor(one.modality) === undefined);
  return pictures.find((one) => (one.instanceCount ?? 0) > 3) ?? pictures[0] ?? series[0];
}
