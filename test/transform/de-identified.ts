/** De-identifies bytes written by hand, for the tests of test/transform. */
import type { DataSet } from '../../src/dicom/data-set.ts';
import { parseDataSet } from '../../src/dicom/data-set.ts';
import { EXPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import type { DeidentifySettings } from '../../src/transform/de-identify.ts';
import { editable } from '../../src/transform/editable-data-set.ts';
import { compileTransform } from '../../src/transform/transform.ts';

export const KEY = 'a key of the test, which is long enough';

/** @throws what the compilation says, or the edit */
export function deidentified(
  bytes: Buffer,
  settings: Partial<DeidentifySettings> = {},
  { key = KEY, syntax = EXPLICIT_LE, implicit = false } = {},
): Buffer {
  const compiled = compileTransform([{ deidentify: { retain: [], burnedIn: 'hold', ...settings } }], key);
  if ('faults' in compiled) throw new Error(compiled.faults.join());
  const dataSet = editable(bytes, syntax);
  compiled.edit(dataSet);
  return dataSet.bytes(implicit);
}

export const read = (bytes: Buffer, syntax = EXPLICIT_LE): DataSet => parseDataSet(bytes, syntax);
