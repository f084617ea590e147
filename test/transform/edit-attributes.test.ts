/** Edits of a rule on data sets that are not as they should be. */
import { expect, test } from 'vitest';
import { parseDataSet, text } from '../../src/dicom/data-set.ts';
import { EXPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { editable } from '../../src/transform/editable-data-set.ts';
import { compileTransform, type Transform } from '../../src/transform/transform.ts';
import { element, sequence } from '../dicom/elements.ts';

function edited(bytes: Buffer, transform: Transform) {
  const compiled = compileTransform(transform);
  if ('faults' in compiled) throw new Error(compiled.faults.join());
  const dataSet = editable(bytes, EXPLICIT_LE);
  compiled.edit(dataSet);
  return parseDataSet(dataSet.bytes(false), EXPLICIT_LE);
}

test('a value is set where a sequence stands by mistake', () => {
  const bytes = Buffer.concat([
    element('00080060', 'CS', 'CT'),
    sequence('00080080', [element('00080060', 'CS', 'MR')]),
    element('00280106', 'SS', Buffer.from([0xff, 0xff])),
  ]);
  const after = edited(bytes, [{ set: { InstitutionName: 'Here', SmallestImagePixelValue: 5 } }]);
  expect(after.fault).toBeUndefined();
  expect(text(after, '00080080')).toBe('Here');
  expect(after.elements.get('00280106')!.vr).toBe('SS');
});
