import { describe, expect, test } from 'vitest';
import { foldPersonName } from '../../src/dicom/person-name.ts';
import {
  isStorageSopClass,
  STORAGE_SOP_CLASSES,
  sopClassName,
  VERIFICATION,
} from '../../src/dicom/sop-class.ts';
import {
  DEFLATED_LE,
  EXPLICIT_BE,
  EXPLICIT_LE,
  IMPLICIT_LE,
  isKnownTransferSyntax,
  JPEG_BASELINE,
  KEPT_TRANSFER_SYNTAXES,
  transferSyntax,
} from '../../src/dicom/transfer-syntax.ts';
import { isUid } from '../../src/dicom/uid.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';

describe('transfer syntaxes', () => {
  test('say how the bytes are written', () => {
    expect(transferSyntax(IMPLICIT_LE)).toMatchObject({
      explicit: false,
      bigEndian: false,
      encapsulated: false,
    });
    expect(transferSyntax(EXPLICIT_BE)).toMatchObject({ explicit: true, bigEndian: true });
    expect(transferSyntax(DEFLATED_LE)).toMatchObject({
      explicit: true,
      deflated: true,
      encapsulated: false,
    });
    expect(transferSyntax(JPEG_BASELINE)).toMatchObject({ encapsulated: true, lossy: true });
    expect(transferSyntax('1.2.3')).toMatchObject({ uid: '1.2.3', explicit: true, encapsulated: false });
  });

  test('every one is a UID, once', () => {
    expect(new Set(KEPT_TRANSFER_SYNTAXES).size).toBe(KEPT_TRANSFER_SYNTAXES.length);
    expect(KEPT_TRANSFER_SYNTAXES.every(isUid)).toBe(true);
    expect(KEPT_TRANSFER_SYNTAXES).toContain(EXPLICIT_LE);
  });

  test('JPIP is not kept: its pixels stay with the sender', () => {
    expect(isKnownTransferSyntax('1.2.840.10008.1.2.4.94')).toBe(false);
  });

  test.skipIf(!corpusFolder)('the corpus has none that is missing (needs ../shared/corpus)', () => {
    for (const row of corpusIndex()) {
      const uid = row.ts_uid ?? '';
      if (uid.startsWith('1.2.840.10008.1.2') && !/^synth\/malformed|^fuzz/.test(row.file!)) {
        expect(isKnownTransferSyntax(uid), `${row.file} ${uid}`).toBe(true);
      }
    }
  });
});

describe('SOP classes', () => {
  test('Storage, by name', () => {
    expect(sopClassName('1.2.840.10008.5.1.4.1.1.2')).toBe('CT Image Storage');
    expect(sopClassName('1.2.840.10008.5.1.4.1.1.1.1')).toBe(
      'Digital X-Ray Image Storage - For Presentation',
    );
    expect(sopClassName('1.2.840.10008.5.1.4.1.1.88.1')).toBe('Text SR Storage - Trial (Retired)');
    expect(sopClassName(VERIFICATION)).toBe('Verification');
    // What modalities ask for and do not get is named as well.
    expect(sopClassName('1.2.840.10008.1.20.1')).toBe('Storage Commitment Push Model');
    expect(sopClassName('1.2.3')).toBe('1.2.3');
  });

  test('Verification, Query/Retrieve and Non-Patient Objects are no Storage', () => {
    expect(isStorageSopClass('1.2.840.10008.5.1.4.1.1.2')).toBe(true);
    for (const uid of [VERIFICATION, '1.2.840.10008.5.1.4.1.2.2.1', '1.2.840.10008.5.1.4.39.1', '']) {
      expect(isStorageSopClass(uid), uid).toBe(false);
    }
    for (const uid of STORAGE_SOP_CLASSES.keys()) expect(isUid(uid)).toBe(true);
  });
});

describe('person names for search', () => {
  test.each([
    ['Müller^Jürgen', 'muller jurgen'],
    ['MULLER^JURGEN^^Dr.^', 'muller jurgen dr.'],
    ['Øster^Łukasz', 'oster lukasz'],
    ['Yamada^Tarou=山田^太郎=やまだ^たろう', 'yamada tarou 山田 太郎 やまだ たろう'],
    ['ガギグ', 'ガギグ'],
    ['홍^길동', '홍 길동'],
    ['ΆΝΝΑ', 'αννα'],
    ['', ''],
    ['^^^', ''],
  ])('%s', (name, folded) => expect(foldPersonName(name)).toBe(folded));
});
