/** A small structured report for the suites of rendered resources, written apart from the code under test. */
import { element, sequence } from '../dicom/elements.ts';
import { type Made, madeObject, NO_PIXELS } from './made-object.ts';

const text = (tag: string, vr: string, value: string): Buffer => {
  const bytes = Buffer.from(value);
  return element(tag, vr, bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.from(' ')]));
};
const code = (tag: string, meaning: string): Buffer =>
  sequence(tag, [
    Buffer.concat([
      text('00080100', 'SH', 'X'),
      text('00080102', 'SH', '99T'),
      text('00080104', 'LO', meaning),
    ]),
  ]);
const item = (type: string, name: string, ...rest: Buffer[]): Buffer =>
  Buffer.concat([
    text('0040A010', 'CS', 'CONTAINS'),
    text('0040A040', 'CS', type),
    code('0040A043', name),
    ...rest,
  ]);

/** The items of its (0040,A730): a section with a text, a number with a unit, and an image. */
export function reportContent(): Buffer[] {
  const measured = sequence('0040A300', [
    Buffer.concat([code('004008EA', 'mm'), text('0040A30A', 'DS', '12.5')]),
  ]);
  const image = item(
    'IMAGE',
    'Source',
    sequence('00081199', [
      Buffer.concat([text('00081155', 'UI', '1.2.3.4.5\0'), text('00081160', 'IS', '2\\3')]),
    ]),
  );
  const finding = item('TEXT', 'Finding', text('0040A160', 'UT', '<script>alert(1)</script>'));
  const length = item('NUM', 'Länge', measured);
  return [item('CONTAINER', 'Findings', sequence('0040A730', [finding, length, sortedImage(image)]))];
}

/** (0008,1199) stands before group 0040. */
function sortedImage(image: Buffer): Buffer {
  const at = image.indexOf(Buffer.from([0x08, 0x00, 0x99, 0x11]));
  return Buffer.concat([image.subarray(at), image.subarray(0, at)]);
}

export function reportObject(made: Made, content: Buffer[]): Buffer {
  const value = (whole: Buffer): Buffer => whole.subarray(12);
  return madeObject({
    ...made,
    without: NO_PIXELS,
    elements: [
      ['00080016', 'UI', '1.2.840.10008.5.1.4.1.1.88.33'],
      ['00080060', 'CS', 'SR'],
      ['0040A040', 'CS', 'CONTAINER'],
      ['0040A043', 'SQ', value(code('0040A043', 'Imaging Report'))],
      ['0040A491', 'CS', 'COMPLETE'],
      ['0040A493', 'CS', 'UNVERIFIED'],
      ['0040A730', 'SQ', value(sequence('0040A730', content))],
      ...(made.elements ?? []),
    ],
  });
}
