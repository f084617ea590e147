/** That the schema of PS3.18 Annex F finds what breaks it. */
import { describe, expect, test } from 'vitest';
import { faultsOfDicomJson } from './dicom-json-schema.ts';

const RIGHT = [
  '[]',
  '[{}]',
  '[{"00080005":{"vr":"CS","Value":["ISO_IR 192"]},"00080050":{"vr":"SH"}}]',
  '[{"00080008":{"vr":"CS","Value":["DERIVED",null,"AXIAL"]}}]',
  '[{"00100010":{"vr":"PN","Value":[{"Alphabetic":"Yamada^Tarou","Ideographic":"山田^太郎"}]}}]',
  '[{"00280009":{"vr":"AT","Value":["00181063"]},"00281050":{"vr":"DS","Value":[40.5,"80"]}}]',
  '[{"30060020":{"vr":"SQ","Value":[{"30060022":{"vr":"IS","Value":[1]}},{}]}}]',
  '[{"7FE00010":{"vr":"OW","BulkDataURI":"http://localhost/bulkdata/7FE00010"}}]',
  '[{"00420011":{"vr":"OB","InlineBinary":"AQI="}}]',
];

const WRONG: [string, string][] = [
  ['a tag in lower case', '[{"7fe00010":{"vr":"OW"}}]'],
  ['a group length', '[{"00080000":{"vr":"UL","Value":[4]}}]'],
  ['File Meta', '[{"00020010":{"vr":"UI","Value":["1.2"]}}]'],
  ['no VR', '[{"00080050":{"Value":["A"]}}]'],
  ['a VR that is none', '[{"00080050":{"vr":"XX"}}]'],
  ['two kinds of value', '[{"00420011":{"vr":"OB","InlineBinary":"AQI=","BulkDataURI":"http://a/b"}}]'],
  ['a member that is none', '[{"00080050":{"vr":"SH","value":["A"]}}]'],
  ['an empty list of values', '[{"00080050":{"vr":"SH","Value":[]}}]'],
  ['an empty string for an empty value', '[{"00080008":{"vr":"CS","Value":["A",""]}}]'],
  ['padding', '[{"00080050":{"vr":"SH","Value":["A "]}}]'],
  ['a NUL', '[{"00080018":{"vr":"UI","Value":["1.2\\u0000"]}}]'],
  ['half a character', '[{"00080050":{"vr":"SH","Value":["\\ud800"]}}]'],
  ['a number as text', '[{"00280010":{"vr":"US","Value":["512"]}}]'],
  ['a number out of its range', '[{"00280010":{"vr":"US","Value":[65536]}}]'],
  ['a decimal string that is none', '[{"00281050":{"vr":"DS","Value":["1,5"]}}]'],
  ['an integer string with a fraction', '[{"00200013":{"vr":"IS","Value":[1.5]}}]'],
  ['a name as text', '[{"00100010":{"vr":"PN","Value":["Doe^Jane"]}}]'],
  ['a name without groups', '[{"00100010":{"vr":"PN","Value":[{}]}}]'],
  ['a tag value that is a number', '[{"00280009":{"vr":"AT","Value":[1577059]}}]'],
  ['two long texts', '[{"00104000":{"vr":"LT","Value":["a","b"]}}]'],
  ['binary that is not base64', '[{"00420011":{"vr":"OB","InlineBinary":"AQ"}}]'],
  ['bulk data of a short string', '[{"00080050":{"vr":"SH","BulkDataURI":"http://a/b"}}]'],
  ['a fault within an item', '[{"00081140":{"vr":"SQ","Value":[{"00081150":{"vr":"UI","Value":[1]}}]}}]'],
  ['disorder', '[{"00080050":{"vr":"SH"},"00080018":{"vr":"UI"}}]'],
  ['disorder of names that look like numbers', '[{"30060020":{"vr":"SQ"},"00080018":{"vr":"UI"}}]'],
  [
    'disorder within an item',
    '[{"00081140":{"vr":"SQ","Value":[{"00081155":{"vr":"UI"},"00081150":{"vr":"UI"}}]}}]',
  ],
];

describe('the schema of DICOM JSON', () => {
  test.each(RIGHT)('takes %s', (text) => expect(faultsOfDicomJson(text)).toEqual([]));
  test.each(WRONG)('finds %s', (_name, text) => expect(faultsOfDicomJson(text)).toHaveLength(1));
});
