/** The command line of `bench dicomweb`. */
import { expect, it } from 'vitest';
import { PARTS, parseDicomwebOptions } from '../../bench/dicomweb-options.ts';

it('measures all of it unless told otherwise', () => {
  expect(parseDicomwebOptions([], ['orthanc'])).toMatchObject({
    parts: PARTS,
    rounds: 5,
    without: [],
    studies: [100_000, 1_000_000],
    index: undefined,
  });
  expect(parseDicomwebOptions(['--parts', 'qido', '--index', 'here'], [])).toMatchObject({ index: 'here' });
  expect(parseDicomwebOptions(['--parts', 'frames', '--without', 'orthanc'], ['orthanc'])).toMatchObject({
    parts: ['frames'],
    without: ['orthanc'],
  });
});

it.each([
  [['--parts', 'pixels'], /--parts pixels: one or more of metadata/],
  [['--studies', '5,many'], /--studies many/],
  [['--rounds', '0'], /--rounds 0: a whole number from 1/],
  [['--without', 'dcm4chee'], /--without dcm4chee/],
])('refuses %j', (args, sentence) => {
  expect(() => parseDicomwebOptions(args, ['orthanc'])).toThrow(sentence);
});
