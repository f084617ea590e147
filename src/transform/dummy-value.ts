/**
 * Values that say nothing, valid in their VR (PS3.15 E.1.1, action D). Called by all who de-identify.
 */
import type { EditableDataSet } from './editable-data-set.ts';

const TEXTS: Readonly<Record<string, string>> = {
  DA: '19000101',
  DT: '19000101000000',
  TM: '000000',
  AS: '000Y',
  DS: '0',
  IS: '0',
  PN: 'ANONYMIZED',
  AE: 'ANONYMIZED',
  CS: 'ANONYMIZED',
  LO: 'ANONYMIZED',
  LT: 'ANONYMIZED',
  SH: 'ANONYMIZED',
  ST: 'ANONYMIZED',
  UC: 'ANONYMIZED',
  UT: 'ANONYMIZED',
  UR: 'http://anonymized.invalid',
};
const NUMBER_BYTES: Readonly<Record<string, number>> = {
  US: 2,
  SS: 2,
  UL: 4,
  SL: 4,
  FL: 4,
  FD: 8,
  SV: 8,
  UV: 8,
  AT: 4,
};

export function setDummy(dataSet: EditableDataSet, tag: string, vr: string): void {
  const text = TEXTS[vr];
  if (text !== undefined) dataSet.set(tag, vr, [text]);
  else dataSet.setBytes(tag, vr, Buffer.alloc(NUMBER_BYTES[vr] ?? 2));
}
