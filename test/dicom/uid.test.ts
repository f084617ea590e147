import { expect, test } from 'vitest';
import {
  createUid,
  IMPLEMENTATION_VERSION_NAME,
  isUid,
  trimUid,
  UID_ROOT_IMPLEMENTATION,
} from '../../src/dicom/uid.ts';

test('padding goes, the rest stays', () => {
  expect(trimUid('1.2.3\0')).toBe('1.2.3');
  expect(trimUid('1.2.3 \0 ')).toBe('1.2.3');
  expect(trimUid('\0')).toBe('');
  expect(trimUid(' 1.2')).toBe(' 1.2');
});

test.each(['1', '1.2.840', '1.02.3', '0.0', '9'.repeat(64)])('%s is a UID', (uid) =>
  expect(isUid(uid)).toBe(true),
);

test.each(['', '.', '1.', '.1', '1..2', '1.2.A', '1.2\n', '1.2/3', '../1', '1.2 ', '9'.repeat(65), '１.２'])(
  '%j is none',
  (uid) => expect(isUid(uid)).toBe(false),
);

test('new UIDs are valid, distinct and of the UUID root', () => {
  const made = new Set(Array.from({ length: 1000 }, createUid));
  expect(made.size).toBe(1000);
  for (const uid of made)
    expect(isUid(uid) && uid.startsWith('2.25.') && !uid.startsWith('2.25.0')).toBe(true);
});

test('our own identity fits the association (PS3.7 D.3.3.2)', () => {
  expect(isUid(UID_ROOT_IMPLEMENTATION)).toBe(true);
  expect(IMPLEMENTATION_VERSION_NAME.length).toBeLessThanOrEqual(16);
});
