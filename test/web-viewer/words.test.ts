/** How names, dates and counts are written, and what a person's search becomes in QIDO-RS. */
import { describe, expect, it } from 'vitest';
import { formatAge, formatDate, formatTime, toDicomDate } from '../../web-viewer/src/dicom-date.ts';
import { formatPersonName, formatPersonNames } from '../../web-viewer/src/person-name.ts';
import {
  EVERYTHING,
  isEverything,
  readSearch,
  toQido,
  writeSearch,
} from '../../web-viewer/src/study-search.ts';

describe('names', () => {
  it.each([
    ['Doe^Jane', 'DOE, Jane'],
    ['van der Berg^Jan^P^Dr^Jr', 'VAN DER BERG, Dr Jan P Jr'],
    ['HEAD', 'HEAD'],
    ['^Jane', 'Jane'],
    ['', ''],
    ['Doe^^', 'DOE'],
  ])('%s is written %s', (stored, written) => {
    expect(formatPersonName(stored)).toBe(written);
  });

  it('sets the ideographic name beside the alphabetic one', () => {
    expect(formatPersonNames({ alphabetic: 'Yamada^Tarou', ideographic: '山田^太郎' })).toBe(
      'YAMADA, Tarou  山田 太郎',
    );
  });
});

describe('dates and times', () => {
  it.each([
    [formatDate('20200131'), '2020-01-31'],
    [formatDate('2020.01.31'), '2020-01-31'],
    [formatDate('unknown'), 'unknown'],
    [formatTime('104702.826'), '10:47'],
    [formatTime('104702.826', 'seconds'), '10:47:02'],
    [formatTime('10'), '10:00'],
    [formatTime(''), ''],
    [formatAge('045Y'), '45 y'],
    [formatAge('000Y'), '0 y'],
    [toDicomDate('2020-01-31'), '20200131'],
    [toDicomDate(''), ''],
  ])('%s', (written, expected) => {
    expect(written).toBe(expected);
  });
});

describe('a search', () => {
  it('survives the way through the address', () => {
    const search = { ...EVERYTHING, name: 'doe, jane', modality: 'CT', from: '2020-01-01', page: 3 };
    expect(readSearch(writeSearch(search))).toEqual(search);
    expect(writeSearch(EVERYTHING)).toBe('');
    expect(isEverything(readSearch('?page=2'))).toBe(true);
  });

  it('takes a broken page number for the first page', () => {
    expect(['?page=-1', '?page=x', '?page=1.5', '?page=0'].map((query) => readSearch(query).page)).toEqual([
      0, 0, 0, 0,
    ]);
  });

  it.each([
    [{ name: 'doe' }, 'PatientName', '*doe*'],
    [{ name: 'Doe, Jane' }, 'PatientName', '*Doe*Jane*'],
    [{ name: 'doe*' }, 'PatientName', 'doe*'],
    [{ id: '42' }, 'PatientID', '*42*'],
    [{ accession: 'A?1' }, 'AccessionNumber', 'A?1'],
    [{ modality: 'ct' }, 'ModalitiesInStudy', 'CT'],
    [{ from: '2020-01-01', to: '2020-01-31' }, 'StudyDate', '20200101-20200131'],
    [{ from: '2020-01-01' }, 'StudyDate', '20200101-'],
    [{ to: '2020-01-31' }, 'StudyDate', '-20200131'],
    [{ from: '2020-01-31', to: '2020-01-31' }, 'StudyDate', '20200131'],
  ])('for %o asks %s=%s', (part, parameter, value) => {
    expect(toQido({ ...EVERYTHING, ...part }).get(parameter)).toBe(value);
  });

  it('asks for one study more than a page, to see whether a next page is there', () => {
    const params = toQido({ ...EVERYTHING, page: 2 });
    expect([params.get('limit'), params.get('offset')]).toEqual(['51', '100']);
    expect(params.has('PatientName')).toBe(false);
  });
});
