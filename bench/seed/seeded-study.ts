/**
 * One study of a made-up archive: everything about it follows from its number, so that those who search it know what there
 * is without asking. Pure. fill.ts writes them into an index; web/searches.ts looks for them.
 */
import type { DicomJson } from '../../src/dicom/dicom-json.ts';
import { FAMILIES, GIVEN, KINDS, OTHER_SCRIPTS } from './names.ts';

export interface SeededSeries {
  readonly seriesUid: string;
  readonly modality: string;
  readonly number: number;
  readonly instances: number;
  readonly attributes: DicomJson;
}

export interface SeededStudy {
  readonly studyUid: string;
  readonly patientId: string;
  /** PN, representations parted by "=". */
  readonly patientName: string;
  readonly accessionNumber: string;
  /** YYYYMMDD */
  readonly studyDate: string;
  readonly modalities: readonly string[];
  readonly attributes: DicomJson;
  readonly series: readonly SeededSeries[];
}

export const ISSUER = 'KLINIKUM';
const FIRST_DAY = Date.UTC(2016, 0, 1);
const DAYS = 3650;
const DAY_MS = 86_400_000;
/** Of a hundred patients, as many have a name in another script. */
const OTHER_SCRIPTS_PERCENT = 3;

/** @param index from 0; the same for a study whether the index has 100,000 or 1,000,000 */
export function seededStudy(index: number): SeededStudy {
  const chance = (salt: number, below: number): number => mix(index * 31 + salt) % below;
  const kind = kindOf(chance(1, 1000));
  const patient = seededPatient(index);
  const studyUid = `2.25.${mix(index) + 4_294_967_296}${String(index).padStart(10, '0')}`;
  const studyDate = date(FIRST_DAY + chance(2, DAYS) * DAY_MS);
  const studyTime = `${two(7 + chance(3, 12))}${two(chance(4, 60))}${two(chance(5, 60))}`;
  const accessionNumber = `A${String(index).padStart(9, '0')}`;
  const modalities = [...new Set(kind.series)].sort();
  const attributes: DicomJson = {
    ...patient.attributes,
    '00080020': { vr: 'DA', Value: [studyDate] },
    '00080030': { vr: 'TM', Value: [studyTime] },
    '00080050': { vr: 'SH', Value: [accessionNumber] },
    '00080090': {
      vr: 'PN',
      Value: [{ Alphabetic: `${pick(FAMILIES, chance(6, 97))}^${pick(GIVEN, chance(7, 89))}` }],
    },
    '00081030': { vr: 'LO', Value: [pick(kind.descriptions, chance(8, 1000))] },
    '0020000D': { vr: 'UI', Value: [studyUid] },
    '00200010': { vr: 'SH', Value: [String(index % 100_000)] },
  };
  const series = kind.series.map((modality, n): SeededSeries => {
    const seriesUid = `${studyUid}.${n + 1}`;
    return {
      seriesUid,
      modality,
      number: n + 1,
      instances: modality === 'SR' ? 1 : kind.instances,
      attributes: {
        '00080060': { vr: 'CS', Value: [modality] },
        '0008103E': { vr: 'LO', Value: [`${modality} series ${n + 1}`] },
        '0020000E': { vr: 'UI', Value: [seriesUid] },
        '00200011': { vr: 'IS', Value: [n + 1] },
      },
    };
  });
  const { patientId, patientName } = patient;
  return { studyUid, patientId, patientName, accessionNumber, studyDate, modalities, attributes, series };
}

/** Five studies have two patients: three of them the first, two the second. */
function seededPatient(index: number): Pick<SeededStudy, 'patientId' | 'patientName' | 'attributes'> {
  const number = Math.floor(index / 5) * 2 + (index % 5 < 3 ? 0 : 1);
  const chance = (salt: number, below: number): number => mix(number * 37 + salt) % below;
  const patientId = `P${String(number).padStart(8, '0')}`;
  const [alphabetic = '', ideographic, phonetic] = patientName(chance).split('=');
  const name = {
    Alphabetic: alphabetic,
    ...(ideographic !== undefined && { Ideographic: ideographic }),
    ...(phonetic !== undefined && { Phonetic: phonetic }),
  };
  return {
    patientId,
    patientName: Object.values(name).join('='),
    attributes: {
      '00100010': { vr: 'PN', Value: [name] },
      '00100020': { vr: 'LO', Value: [patientId] },
      '00100021': { vr: 'LO', Value: [ISSUER] },
      '00100030': { vr: 'DA', Value: [date(Date.UTC(1925, 0, 1) + chance(11, 34_000) * DAY_MS)] },
      '00100040': { vr: 'CS', Value: [pick(['F', 'M'], chance(12, 2))] },
    },
  };
}

function patientName(chance: (salt: number, below: number) => number): string {
  if (chance(13, 100) < OTHER_SCRIPTS_PERCENT) return pick(OTHER_SCRIPTS, chance(14, 1000));
  // The square makes the first names the commonest, as they are.
  const share = chance(15, 10_000) / 10_000;
  const family = FAMILIES[Math.floor(share * share * FAMILIES.length)]!;
  const double = chance(16, 12) === 0 ? `-${pick(FAMILIES, chance(17, 10_000))}` : '';
  const middle = chance(18, 5) === 0 ? `^${pick(GIVEN, chance(19, 10_000))}` : '';
  return `${family}${double}^${pick(GIVEN, chance(20, 10_000))}${middle}`;
}

function kindOf(perMille: number): (typeof KINDS)[number] {
  let left = perMille;
  for (const kind of KINDS) {
    if (left < kind.perMille) return kind;
    left -= kind.perMille;
  }
  return KINDS[0]!;
}

/** 32 bits that look like chance (the finalizer of MurmurHash3). */
export function mix(value: number): number {
  let bits = value | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

const pick = <T>(list: readonly T[], number: number): T => list[number % list.length]!;

const two = (number: number): string => String(number).padStart(2, '0');

const date = (ms: number): string => new Date(ms).toISOString().slice(0, 10).replaceAll('-', '');
