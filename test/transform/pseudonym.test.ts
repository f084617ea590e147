/**
 * Pseudonyms are the same in every process and in every version: these were computed with Python's hmac from the key,
 * the word and the value, and must never change, or the second study of a patient is another person's.
 */
import { expect, test } from 'vitest';
import { patientPseudonym, replacedUid } from '../../src/transform/pseudonym.ts';

const KEY = '0123456789abcdef0123456789abcdef';

test('a UID, a patient and the shift of the dates are the keyed hashes they were', () => {
  expect(replacedUid(KEY, '1.2.3')).toBe('2.25.242519741957384552886518508456172302620');
  expect(patientPseudonym(KEY, 'HOSPITAL\u00004711')).toEqual({
    id: 'ANON-92624A4359786793',
    days: 632,
  });
});
