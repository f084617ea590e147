/** The query strings of QIDO-RS: what they mean, and the sentence for each that means nothing. */
import { describe, expect, it } from 'vitest';
import { searchSql } from '../../src/archive/search-sql.ts';
import { parseQidoQuery, type QidoScope } from '../../src/dicomweb/qido-query.ts';

const parse = (query: string, scope: QidoScope = { level: 'study' }) =>
  parseQidoQuery(scope, new URLSearchParams(query));
const criteria = (query: string, scope?: QidoScope) =>
  parse(query, scope).search.criteria.map(({ path, match }) => ({ path, match }));

const moment = (text: string): string =>
  String(
    BigInt(
      Date.parse(text.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\.\d)?$/, '$1-$2-$3T$4:$5:$6$7Z')),
    ) * 1000n,
  );
const moments = (from: string | undefined, before: string | undefined) => ({
  kind: 'moments',
  from: from && moment(from),
  before: before && moment(before),
  zone: undefined,
});

describe('parseQidoQuery', () => {
  it('takes keys by keyword and by tag alike', () => {
    const expected = [{ path: ['00100020'], match: { kind: 'one-of', values: ['A*'] } }];
    expect(criteria('PatientID=A*')).toEqual(expected);
    expect(criteria('00100020=A*')).toEqual(expected);
  });

  it('takes lists of UIDs with commas and with backslashes', () => {
    const values = ['1.2', '1.3', '1.4'];
    for (const text of ['1.2,1.3,1.4', '1.2\\1.3\\1.4'])
      expect(criteria(`StudyInstanceUID=${encodeURIComponent(text)}`)).toEqual([
        { path: ['0020000D'], match: { kind: 'one-of', values } },
      ]);
  });

  it.each([
    ['StudyDate=20200101', { kind: 'range', from: '20200101', to: '20200101' }],
    ['StudyDate=20200101-', { kind: 'range', from: '20200101', to: '' }],
    ['StudyDate=-20200101', { kind: 'range', from: '', to: '20200101' }],
    ['StudyDate=20200101-20201231', { kind: 'range', from: '20200101', to: '20201231' }],
    ['StudyTime=10-1130', { kind: 'range', from: '10', to: '1130' }],
    ['PatientName=m%C3%BCller*', { kind: 'name', pattern: 'müller*', fuzzy: false }],
    ['fuzzymatching=true&PatientName=muller', { kind: 'name', pattern: 'muller', fuzzy: true }],
    ['ModalitiesInStudy=CT,MR', { kind: 'one-of', values: ['CT', 'MR'] }],
    ['NumberOfStudyRelatedInstances=29', { kind: 'number', values: [29] }],
  ])('%s', (query, match) => {
    expect(criteria(query).map((criterion) => criterion.match)).toEqual([match]);
  });

  it('matches everything where a value is empty or a lone asterisk', () => {
    expect(criteria('PatientName=&PatientID=*&StudyDate=')).toEqual([]);
  });

  it('follows a path into a sequence at series level', () => {
    const [criterion] = criteria('RequestAttributesSequence.ScheduledProcedureStepID=S1', {
      level: 'series',
    });
    expect(criterion?.path).toEqual(['00400275', '00400009']);
  });

  it.each([
    ['AcquisitionDateTime=20240105', { kind: 'range', from: '20240105', to: '20240105' }],
    ['AcquisitionDateTime=2024-2025', { kind: 'range', from: '2024', to: '2025' }],
    ['AcquisitionDateTime=-20240105', { kind: 'range', from: '', to: '20240105' }],
    // The offset's "+" unencoded, which a query string turns into a space.
    ['AcquisitionDateTime=20240105120000+0100-', moments('20240105T110000', undefined)],
    ['AcquisitionDateTime=20240105120000%2B0100', moments('20240105T110000', '20240105T110001')],
    ['AcquisitionDateTime=20240105-0500', moments('20240105T050000', '20240106T050000')],
    ['AcquisitionDateTime=20240105-0500-20240107-0500', moments('20240105T050000', '20240108T050000')],
    ['AcquisitionDateTime=-20241231235959.5%2B0000', moments(undefined, '20241231T235959.6')],
    [
      'AcquisitionDateTime=202402&TimezoneOffsetFromUTC=%2B0900',
      { ...moments('20240131T150000', '20240229T150000'), zone: '+0900' },
    ],
  ])('%s is of moments', (query, match) => {
    expect(criteria(query, { level: 'instance' }).map((criterion) => criterion.match)).toEqual([match]);
  });

  it('makes one list of a key that comes again', () => {
    expect(criteria('StudyInstanceUID=1.2&StudyInstanceUID=1.3,1.4')).toEqual([
      { path: ['0020000D'], match: { kind: 'one-of', values: ['1.2', '1.3', '1.4'] } },
    ]);
  });

  it('takes two quotation marks for an empty value where it is told to', () => {
    expect(criteria('PatientID=%22%22&emptyvaluematching=true')).toEqual([
      { path: ['00100020'], match: { kind: 'empty' } },
    ]);
    expect(criteria('PatientID=%22%22')).toEqual([
      { path: ['00100020'], match: { kind: 'one-of', values: ['""'] } },
    ]);
  });

  it('names the attributes that are not kept, and matches by the rest', () => {
    const query = parse('PatientTelephoneNumbers=1&00091001=x&PatientSex=F&PatientAddress=*');
    expect(query.unmatched).toEqual(['(0010,2154) PatientTelephoneNumbers', '(0009,1001)']);
    expect(query.search.criteria).toHaveLength(1);
  });

  it('collects what is to be included, matching keys among it', () => {
    const { include } = parse(
      'includefield=00081030,PatientSex&includefield=RequestAttributesSequence.RequestedProcedureID&StudyID=1',
    );
    expect([...(include as Set<string>)].sort()).toEqual(['00081030', '00100040', '00200010', '00400275']);
    expect(parse('includefield=all').include).toBe('all');
  });

  it('gives a search across studies 1,000 results, one within a study all it can, and nobody more than 50,000', () => {
    expect(parse('').search.limit).toBe(1000);
    expect(parse('', { level: 'instance', studyUid: '1.2' }).search.limit).toBe(50_000);
    expect(parse('limit=999999').search.limit).toBe(50_000);
    expect(parse('limit=0&offset=7').search).toMatchObject({ limit: 0, offset: 7 });
  });

  it.each([
    ['Nonsense=1', '"Nonsense" is no query parameter'],
    ['12345=1', '"12345" is no query parameter'],
    ['%3Cscript%3E=1', 'One of the names in the query is no query parameter'],
    ['limit=-1', 'limit must be one whole number'],
    ['limit=ten', 'limit must be one whole number'],
    ['limit=1&limit=2', 'limit must be one whole number'],
    ['offset=1.5', 'offset must be one whole number'],
    ['fuzzymatching=maybe', 'fuzzymatching must be true or false'],
    ['StudyInstanceUID=1.2.x', '(0020,000D) StudyInstanceUID must be a UID'],
    ['StudyInstanceUID=../../etc', '(0020,000D) StudyInstanceUID must be a UID'],
    ['StudyDate=2020', '(0008,0020) StudyDate must be a date YYYYMMDD'],
    ['StudyDate=20200101-20200201-20200301', '(0008,0020) StudyDate must be a date'],
    ['StudyTime=10:30', '(0008,0030) StudyTime must be a time'],
    ['NumberOfStudyRelatedSeries=two', '(0020,1206) NumberOfStudyRelatedSeries must be a number'],
    ['PatientID=a%00', '"PatientID" holds a NUL'],
    ['includefield=Nonsense', 'includefield: "Nonsense" is no attribute'],
  ])('refuses %s', (query, sentence) => {
    expect(() => parse(query)).toThrow(sentence);
  });

  it('never repeats a value in its sentences', () => {
    for (const query of ['StudyDate=Smith', 'StudyInstanceUID=Smith', 'limit=Smith', 'StudyTime=Smith'])
      expect(() => parse(query)).toThrow(/^(?!.*Smith)/);
  });
});

describe('searchSql', () => {
  it('lets no value of a request into the statement', () => {
    const { search } = parse(
      "PatientName='; drop table study; --&PatientID=a%25_*&StudyDescription=x'y&StudyID=1&fuzzymatching=true",
    );
    const { text, values } = searchSql(search);
    expect(text).not.toMatch(/drop|x'y/);
    expect(values).toContain('a\\%\\_%');
  });
});
