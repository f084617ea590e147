/**
 * The instances of seeded studies. One study in a thousand has them in the index: enough to search by and to tell what a
 * row weighs, where all would be hundreds of millions. Pure. Called by fill-instances.ts and web/searches.ts.
 */
import type { DicomJson } from '../../src/dicom/dicom-json.ts';
import type { SeededSeries } from './seeded-study.ts';

export const ONE_IN = 1000;

/** @param index of the study */
export const hasInstances = (index: number): boolean => index % ONE_IN === 0;

/** What stands for the number of an instance in its text, to be put in by Postgres. */
export const NUMBER = '{n}';
export const SOP_CLASS = '1.2.840.10008.5.1.4.1.1.2';

export const sopUidOf = ({ seriesUid }: SeededSeries, number: number | string): string =>
  `${seriesUid}.${number}`;

/** The attributes the index keeps of an image, of the length that a CT's have; numbers from 1. */
export function instanceAttributes(series: SeededSeries): DicomJson {
  return {
    '00080008': { vr: 'CS', Value: ['ORIGINAL', 'PRIMARY', 'AXIAL', 'NORM'] },
    '00080012': { vr: 'DA', Value: ['20260105'] },
    '00080013': { vr: 'TM', Value: ['101217.000017'] },
    '00080016': { vr: 'UI', Value: [SOP_CLASS] },
    '00080018': { vr: 'UI', Value: [sopUidOf(series, NUMBER)] },
    '00080022': { vr: 'DA', Value: ['20260105'] },
    '00080023': { vr: 'DA', Value: ['20260105'] },
    '00080032': { vr: 'TM', Value: ['101217.000017'] },
    '00080033': { vr: 'TM', Value: ['101217.000017'] },
    '00180050': { vr: 'DS', Value: [1.25] },
    '00200012': { vr: 'IS', Value: [1] },
    '00200013': { vr: 'IS', Value: [NUMBER] },
    '00200032': { vr: 'DS', Value: [-204.6, -204.6, NUMBER] },
    '00200037': { vr: 'DS', Value: [1, 0, 0, 0, 1, 0] },
    '00201041': { vr: 'DS', Value: [NUMBER] },
    '00280002': { vr: 'US', Value: [1] },
    '00280004': { vr: 'CS', Value: ['MONOCHROME2'] },
    '00280010': { vr: 'US', Value: [512] },
    '00280011': { vr: 'US', Value: [512] },
    '00280030': { vr: 'DS', Value: [0.8, 0.8] },
    '00280100': { vr: 'US', Value: [16] },
    '00280101': { vr: 'US', Value: [12] },
    '00280102': { vr: 'US', Value: [11] },
    '00280103': { vr: 'US', Value: [0] },
    '00281050': { vr: 'DS', Value: [40] },
    '00281051': { vr: 'DS', Value: [400] },
    '00281052': { vr: 'DS', Value: [-1024] },
    '00281053': { vr: 'DS', Value: [1] },
  };
}
