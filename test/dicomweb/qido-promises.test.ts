/**
 * What CONFORMANCE.md promises of QIDO-RS, row by row, over a real house: which results a query has, in their order, and
 * what the answer says beside them (PS3.18 8.3.4 and 10.6, PS3.4 C.2.2.2).
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { element, sequence } from '../dicom/elements.ts';
import { type House, openHouse } from '../support/house.ts';
import { get, getJson, getParts, type Json, refusal, stow, value } from './door.ts';
import { madeObject } from './made-object.ts';

type Elements = readonly (readonly [tag: string, vr: string, value: string | Buffer])[];

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
/** PS3.5 H.3.1, and I.2 for the Korean one, byte for byte. */
const JAPANESE = latin1(
  'Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B',
);
const KOREAN = latin1(
  'Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf',
);
/** ISO 8859-5. */
const RUSSIAN = Buffer.from('b8d2d0ddded25ebff1e2e0', 'hex');

/** Longer than any index entry may be. */
const LONG = 'L'.repeat(3000);

const CODES = sequence('00081032', [
  element('00080100', 'SH', 'CHEST1'),
  element('00080104', 'LO', 'Chest '),
]).subarray(12);

const STUDIES: Readonly<Record<string, Elements>> = {
  '3.1': [
    ['00080020', 'DA', '20240105'],
    ['00080030', 'TM', '233000'],
    ['00080050', 'SH', 'ACC-1'],
    ['00080090', 'PN', 'Überall^Ute'],
    ['00080201', 'SH', '+0100'],
    ['00081030', 'LO', 'Thorax à la carte'],
    ['00081032', 'SQ', CODES],
    ['00081060', 'PN', 'Ångström^Åsa'],
    ['00100010', 'PN', 'Müller-Lüdenscheid^Jürgen^^Dr.'],
    ['00100020', 'LO', 'A100'],
    ['00100021', 'LO', 'HOSPITAL'],
    ['00100030', 'DA', '19700229'],
    ['00100040', 'CS', 'M'],
    ['00200010', 'SH', 'S1'],
  ],
  '3.2': [
    ['00080005', 'CS', '\\ISO 2022 IR 87'],
    ['00080020', 'DA', '20240104'],
    ['00080030', 'TM', '1800'],
    ['00080050', 'SH', 'ACC-2'],
    ['00100010', 'PN', JAPANESE],
    ['00100020', 'LO', 'A200'],
    ['00100040', 'CS', 'M'],
    ['00101030', 'DS', '70.5'],
  ],
  '3.3': [
    ['00080005', 'CS', '\\ISO 2022 IR 149'],
    ['00080020', 'DA', '20240103'],
    ['00080030', 'TM', '060000'],
    ['00080050', 'SH', 'ACC-3'],
    ['00100010', 'PN', KOREAN],
    ['00100020', 'LO', 'a100'],
    ['00100040', 'CS', 'F'],
  ],
  '3.4': [
    ['00080005', 'CS', 'ISO_IR 144'],
    ['00080020', 'DA', '20240102'],
    ['00080030', 'TM', '235959.999999'],
    ['00080050', 'SH', 'ACC-4'],
    ['00100010', 'PN', RUSSIAN],
    ['00100020', 'LO', 'A1_0'],
    ['00100040', 'CS', 'F'],
  ],
  '3.5': [
    ['00080005', 'CS', 'ISO_IR 100'],
    ['00080050', 'SH', LONG],
    ['00080020', 'DA', ''],
    ['00080030', 'TM', ''],
    ['00100010', 'PN', latin1('Buc^J\xe9r\xf4me')],
    ['00100020', 'LO', ''],
  ],
};
/** Of each study: the instances as series, number and modality. 3.3 has two modalities in one series. */
const INSTANCES: Readonly<
  Record<string, readonly (readonly [series: number, number: number, modality: string])[]>
> = {
  '3.1': [
    [1, 1, 'CT'],
    [1, 2, 'CT'],
    [2, 1, 'SR'],
  ],
  '3.2': [[1, 1, 'MR']],
  '3.3': [
    [1, 1, 'CT'],
    [1, 2, 'OT'],
  ],
  '3.4': [[1, 1, 'US']],
  '3.5': [[1, 1, 'MR']],
};
const MOMENTS: Readonly<Record<string, string>> = {
  '3.1.1.1': '20240105233000',
  '3.1.1.2': '20240105233000.5+0900',
  '3.1.2.1': '202401',
};

function objectOf(study: string, series: number, number: number, modality: string): Buffer {
  const moment = MOMENTS[`${study}.${series}.${number}`];
  return madeObject({
    study,
    series: `${study}.${series}`,
    instance: `${study}.${series}.${number}`,
    elements: [
      ...STUDIES[study]!,
      ['00080060', 'CS', modality],
      ['00081070', 'PN', study === '3.1' ? 'Østergård^Søren' : ''],
      ['00180015', 'CS', series === 1 ? 'CHEST' : ''],
      ['00200011', 'IS', String(series)],
      ['00200013', 'IS', String(number)],
      ['00181030', 'LO', study === '3.1' ? `Protocol ${series}` : ''],
      ['00400275', 'SQ', sequence('00400275', [element('00400009', 'SH', `STEP${series} `)]).subarray(12)],
      ...(moment === undefined ? [] : [['0008002A', 'DT', moment] as const]),
    ],
  });
}

let house: House;
let base: string;

beforeAll(async () => {
  house = await openHouse();
  base = `${house.url}/dicom-web`;
  const files = Object.entries(INSTANCES).flatMap(([study, instances]) =>
    instances.map(([series, number, modality]) => objectOf(study, series, number, modality)),
  );
  const { status, json } = await stow(house.url, files);
  if (status !== 200) throw new Error(`STOW: ${status} ${JSON.stringify(json)}`);
});
afterAll(() => house?.close());

const UID_OF = { studies: '0020000D', series: '0020000E', instances: '00080018' } as const;

async function found(path: string): Promise<unknown[]> {
  const { status, json } = await getJson(`${base}/${path}`);
  if (status !== 200 && status !== 204) throw new Error(JSON.stringify(json));
  const resource = path.replace(/\?.*/, '').split('/').at(-1) as keyof typeof UID_OF;
  return json.map((one) => value(one, UID_OF[resource]));
}

const ALL = ['3.1', '3.2', '3.3', '3.4', '3.5'];

describe('matching', () => {
  it.each([
    ['single values are as written, letters and all', 'studies?PatientID=A100', ['3.1']],
    ['spaces around a value mean nothing', 'studies?PatientID=%20A100%20', ['3.1']],
    ['a key may be a tag in any case', 'studies?0020000d=3.2', ['3.2']],
    ['a value longer than an index takes', `studies?AccessionNumber=${LONG}`, ['3.5']],
    ['and none that only begins like it', `studies?AccessionNumber=${LONG}L`, []],
    ['wildcards: * for any text', 'studies?PatientID=*1*0', ['3.1', '3.3', '3.4']],
    ['wildcards: ? for one character', 'studies?PatientID=?100', ['3.1', '3.3']],
    ['characters that are wildcards in SQL are themselves', 'studies?PatientID=A1_0', ['3.4']],
    ['and in patterns', 'studies?PatientID=*_*', ['3.4']],
    ['universal: an empty value', 'studies?PatientID=', ALL],
    ['universal: a lone asterisk', 'studies?PatientID=*&AccessionNumber=**', ALL],
    ['lists of UIDs, by comma', 'studies?StudyInstanceUID=3.3,3.1', ['3.1', '3.3']],
    ['lists of UIDs, by backslash', 'studies?StudyInstanceUID=3.3%5C3.1', ['3.1', '3.3']],
    ['lists of UIDs, repeated', 'studies?StudyInstanceUID=3.3&StudyInstanceUID=3.1', ['3.1', '3.3']],
    ['several values of any text, by backslash', 'studies?PatientID=A100%5Ca100', ['3.1', '3.3']],
    ['several codes, by comma', 'studies?ModalitiesInStudy=US,SR', ['3.1', '3.4']],
    ['several codes, repeated', 'studies?ModalitiesInStudy=US&ModalitiesInStudy=SR', ['3.1', '3.4']],
    ['codes with wildcards', 'studies?ModalitiesInStudy=?R', ['3.1', '3.2', '3.5']],
    ['one modality with further keys', 'studies?ModalitiesInStudy=CT&PatientSex=F', ['3.3']],
    ['one modality with dates', 'studies?ModalitiesInStudy=CT&StudyDate=20240104-', ['3.1']],
    ['all keys must hold', 'studies?PatientSex=F&PatientID=A*', ['3.4']],
    ['numbers by value', 'studies?PatientWeight=70.50', ['3.2']],
    ['lists of numbers', 'instances?InstanceNumber=2%5C3', ['3.1.1.2', '3.3.1.2']],
    ['counts', 'studies?NumberOfStudyRelatedInstances=3', ['3.1']],
    ['counts of series', 'series?NumberOfSeriesRelatedInstances=2', ['3.1.1', '3.3.1']],
    ['descriptions without regard to case and accents', 'studies?StudyDescription=thorax*CARTE', ['3.1']],
    ['an attribute in a sequence', 'studies?ProcedureCodeSequence.CodeValue=CHEST1', ['3.1']],
    ['the same by tags', 'studies?00081032.00080100=CHEST?', ['3.1']],
    ['an attribute in a sequence of series', 'series?RequestAttributesSequence.00400009=STEP2', ['3.1.2']],
    ['keys of levels above', 'instances?PatientID=A100&Modality=SR', ['3.1.2.1']],
    ['keys of levels below: one series has it', 'studies?Modality=SR', ['3.1']],
    ['keys of levels below: one series has all', 'studies?Modality=SR&BodyPartExamined=CHEST', []],
    ['keys of levels below: one instance', 'studies?InstanceNumber=2', ['3.1', '3.3']],
    ['keys of levels below, of series', 'series?InstanceNumber=2', ['3.1.1', '3.3.1']],
    ['SOP classes of the study', 'studies?SOPClassesInStudy=1.2.840.10008.5.1.4.1.1.7', ALL],
    ['no SOP class of the study', 'studies?SOPClassesInStudy=1.2.840.10008.5.1.4.1.1.2', []],
    ['an instance by its UID', 'instances?SOPInstanceUID=3.2.1.1', ['3.2.1.1']],
    ['within a study', 'studies/3.1/instances?Modality=CT', ['3.1.1.1', '3.1.1.2']],
    ['within a series', 'studies/3.1/series/3.1.1/instances?InstanceNumber=2', ['3.1.1.2']],
    ['a series of another study is none of this', 'studies/3.2/series/3.1.1/instances', []],
  ])('%s: %s', async (_promise, query, expected) => {
    expect(await found(query)).toEqual(expected);
  });
});

describe('empty values (PS3.4 C.2.2.2.7)', () => {
  it.each([
    ['a text', 'studies?PatientID=%22%22&emptyvaluematching=true', ['3.5']],
    ['a date', 'studies?StudyDate=%22%22&emptyvaluematching=true', ['3.5']],
    ['an attribute of the rows', 'studies?PatientSex=%22%22&emptyvaluematching=true', ['3.5']],
    ['one that is absent', 'studies?StudyID=%22%22&emptyvaluematching=true&PatientID=A*', ['3.2', '3.4']],
    [
      'one in a sequence',
      'studies?ProcedureCodeSequence.CodeValue=%22%22&emptyvaluematching=true&PatientID=A*',
      ['3.2', '3.4'],
    ],
    ['a name', 'studies?PatientName=%22%22&emptyvaluematching=true', []],
    [
      'a referrer',
      'studies?ReferringPhysicianName=%22%22&emptyvaluematching=true',
      ['3.2', '3.3', '3.4', '3.5'],
    ],
    ['without the parameter two quotation marks are themselves', 'studies?PatientID=%22%22', []],
  ])('%s: %s', async (_promise, query, expected) => {
    expect(await found(query)).toEqual(expected);
  });
});

describe('names of persons', () => {
  it.each([
    ['without regard to case and accents', 'PatientName=muller-ludenscheid%5Ejurgen%5E%5Edr.', ['3.1']],
    ['with accents', 'PatientName=M%C3%9CLLER*', ['3.1']],
    ['written apart', 'PatientName=Mu%CC%88ller*', ['3.1']],
    ['not in part without wildcards', 'PatientName=muller-ludenscheid', []],
    ['wildcards anywhere', 'PatientName=*j?rgen*', ['3.1']],
    ['alphabetic', 'PatientName=yamada%5Etarou', ['3.2']],
    ['ideographic', `PatientName=${encodeURIComponent('山田^太郎')}`, ['3.2']],
    ['phonetic', `PatientName=${encodeURIComponent('やまだ*')}`, ['3.2']],
    ['each representation in its place', `PatientName=${encodeURIComponent('yamada*=山田*')}`, ['3.2']],
    ['but not in another', `PatientName=${encodeURIComponent('山田*=yamada*')}`, []],
    ['only the second', `PatientName=${encodeURIComponent('=山田*')}`, ['3.2']],
    ['a wildcard stays in its representation', `PatientName=${encodeURIComponent('yamada*太郎')}`, []],
    ['Korean', `PatientName=${encodeURIComponent('洪^吉洞')}`, ['3.3']],
    ['Hangul', `PatientName=${encodeURIComponent('홍*')}`, ['3.3']],
    ['Cyrillic', `PatientName=${encodeURIComponent('иванов*')}`, ['3.4']],
    ['Cyrillic ё as е', `PatientName=${encodeURIComponent('*петр')}`, ['3.4']],
    ['Latin-1', 'PatientName=buc%5Ejerome', ['3.5']],
    ['fuzzy: words in any order', 'PatientName=jurgen%20muller&fuzzymatching=true', ['3.1']],
    ['fuzzy: beginnings of words', 'PatientName=lud%20j&fuzzymatching=true', ['3.1']],
    [
      'fuzzy: with "^" and wildcards as viewers send them',
      'PatientName=*LUD%5EJ*&fuzzymatching=true',
      ['3.1'],
    ],
    ['fuzzy: every word must be there', 'PatientName=jurgen%20anna&fuzzymatching=true', []],
    [
      'fuzzy: over all representations',
      `PatientName=${encodeURIComponent('太郎 yamada')}&fuzzymatching=true`,
      ['3.2'],
    ],
    [
      'fuzzy: a part of a name without spaces',
      `PatientName=${encodeURIComponent('郎')}&fuzzymatching=true`,
      ['3.2'],
    ],
    ['fuzzy: Cyrillic', `PatientName=${encodeURIComponent('ПЕТР ив')}&fuzzymatching=true`, ['3.4']],
    [
      'fuzzy: no text of a query language',
      'PatientName=%27%26%7C%21%28buc%29%3A*&fuzzymatching=true',
      ['3.5'],
    ],
    ['fuzzy=false is exact', 'PatientName=jurgen%20muller&fuzzymatching=false', []],
    ['the referring physician alike', 'ReferringPhysicianName=UBERALL%5EUTE', ['3.1']],
    ['the referring physician, fuzzy', 'ReferringPhysicianName=ute%20uber&fuzzymatching=true', ['3.1']],
    ['other physicians alike', 'NameOfPhysiciansReadingStudy=angstrom*', ['3.1']],
    ['other physicians, fuzzy', 'NameOfPhysiciansReadingStudy=asa%20%C3%A5ng&fuzzymatching=true', ['3.1']],
    ['those of series, with letters that have no accent', 'OperatorsName=ostergard%5Esoren', ['3.1']],
  ])('%s: %s', async (_promise, query, expected) => {
    expect(await found(`studies?${query}`)).toEqual(expected);
  });
});

describe('dates, times and moments (PS3.4 C.2.2.2.5)', () => {
  it.each([
    ['one date', 'studies?StudyDate=20240104', ['3.2']],
    ['a range, both ends in it', 'studies?StudyDate=20240103-20240104', ['3.2', '3.3']],
    ['up to a date', 'studies?StudyDate=-20240103', ['3.3', '3.4']],
    ['from a date on', 'studies?StudyDate=20240104-', ['3.1', '3.2']],
    ['one time: all it begins', 'studies?StudyTime=18', ['3.2']],
    ['a range of times, each of every day', 'studies?StudyTime=0600-1800', ['3.2', '3.3']],
    ['up to the last fraction', 'studies?StudyTime=235959.999999-', ['3.4']],
    ['date and time together', 'studies?StudyDate=20240103-20240105&StudyTime=1200-2300', ['3.2']],
    ['together, from a moment on', 'studies?StudyDate=20240104-&StudyTime=1900-', ['3.1']],
    ['one day, a range of times', 'studies?StudyDate=20240104&StudyTime=1700-1900', ['3.2']],
    [
      'in the zone of the query: another day there',
      'studies?StudyDate=20240106&TimezoneOffsetFromUTC=%2B0900&PatientID=A100',
      ['3.1'],
    ],
    ['the same with its "+" unencoded', 'studies?StudyDate=20240106&00080201=+0900&PatientID=A100', ['3.1']],
    ['and not the day here', 'studies?StudyDate=20240105&TimezoneOffsetFromUTC=%2B0900&PatientID=A100', []],
    ['its time there', 'studies?StudyTime=0730&TimezoneOffsetFromUTC=%2B0900&StudyDate=20240106', ['3.1']],
    [
      'date and time together there',
      'studies?StudyDate=20240105-20240106&StudyTime=2300-0800&TimezoneOffsetFromUTC=%2B0900',
      ['3.1'],
    ],
    [
      'a study without zone is of that of the query',
      'studies?StudyDate=20240104&TimezoneOffsetFromUTC=-0800',
      ['3.2'],
    ],
    ['moments as written', 'instances?AcquisitionDateTime=20240105', ['3.1.1.1', '3.1.1.2']],
    ['a range of moments', 'instances?AcquisitionDateTime=20240105233000.1-20240106', ['3.1.1.2']],
    ['moments with an offset', 'instances?AcquisitionDateTime=20240105223000%2B0000', ['3.1.1.1']],
    [
      'a range with offsets',
      'instances?AcquisitionDateTime=20240105143000-0000-20240105143001%2B0000',
      ['3.1.1.2'],
    ],
    [
      'of the query zone',
      'instances?AcquisitionDateTime=20240106073000&TimezoneOffsetFromUTC=%2B0900',
      ['3.1.1.1'],
    ],
    ['of low precision', 'instances?AcquisitionDateTime=2023-20240101', ['3.1.2.1']],
  ])('%s: %s', async (_promise, query, expected) => {
    expect(await found(query)).toEqual(expected);
  });
});

describe('what a result shows', () => {
  const shown = async (path: string): Promise<Json> => (await getJson(`${base}/${path}`)).json[0]!;

  it.each([
    [
      'studies?PatientID=A100',
      '00080020 00080030 00080050 00080056 00080061 00080090 00081190 00100010 00100020 00100030 00100040 0020000D 00200010 00201206 00201208',
    ],
    ['studies/3.1/series', '00080056 00080060 00081190 0020000E 00200011 00201209 00400275'],
    [
      'studies/3.1/instances',
      '00080016 00080018 00080056 00081190 0020000E 00200013 00280010 00280011 00280100',
    ],
    ['series?PatientID=A100', '00080020 00080060 00100010 0020000D 0020000E 00201209'],
    ['instances?PatientID=A100', '00080018 00080060 00100010 0020000D 0020000E 00200013'],
  ])('%s: the attributes of PS3.18 tables 10.6.3-3 to -5', async (path, tags) => {
    expect(Object.keys(await shown(path))).toEqual(expect.arrayContaining(tags.split(' ')));
  });

  it.each([
    ['a keyword', 'includefield=StudyDescription,ReferringPhysicianName', '00081030'],
    ['a tag in any case', 'includefield=0008103e', undefined],
    ['repeated', 'includefield=PatientWeight&includefield=PatientID,IssuerOfPatientID', '00100021'],
    ['a path shows its sequence', 'includefield=ProcedureCodeSequence.CodeValue', '00081032'],
    ['a matching key', 'NameOfPhysiciansReadingStudy=*', '00081060'],
    ['all', 'includefield=all', '00081060'],
    ['one that is not kept is left out', 'includefield=PatientAddress', undefined],
    ['a private one is left out', 'includefield=00111001', undefined],
    ['counts of the patient', 'includefield=NumberOfPatientRelatedStudies', '00201200'],
  ])('%s: %s', async (_what, query, tag) => {
    const result = await shown(`studies?PatientID=A100&${query}`);
    expect(value(result, '0020000D')).toBe('3.1');
    if (tag !== undefined) expect(result[tag]?.Value).toBeDefined();
    else
      expect(Object.keys(result).sort()).toEqual(Object.keys(await shown('studies?PatientID=A100')).sort());
  });

  it('names as PS3.18 F has them, whatever their character set was', async () => {
    const names = await getJson(`${base}/studies`);
    expect(names.json.map((one) => value(one, '00100010'))).toEqual([
      { Alphabetic: 'Müller-Lüdenscheid^Jürgen^^Dr.' },
      { Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎', Phonetic: 'やまだ^たろう' },
      { Alphabetic: 'Hong^Gildong', Ideographic: '洪^吉洞', Phonetic: '홍^길동' },
      { Alphabetic: 'Иванов^Пётр' },
      { Alphabetic: 'Buc^Jérôme' },
    ]);
  });

  it('a series of mixed modalities: all of them of the study, each with its instance', async () => {
    const study = await shown('studies?StudyInstanceUID=3.3');
    expect(study['00080061']?.Value).toEqual(['CT', 'OT']);
    const { json } = await getJson(`${base}/instances?StudyInstanceUID=3.3`);
    expect(json.map((one) => value(one, '00080060'))).toEqual(['CT', 'OT']);
    expect(await found('studies?ModalitiesInStudy=OT')).toEqual(['3.3']);
  });
});

describe('pages (PS3.18 8.3.4.4)', () => {
  it.each([
    ['studies?limit=2', 2, '3'],
    ['studies?limit=2&offset=2', 2, '1'],
    ['studies?limit=2&offset=4', 1, undefined],
    ['studies?limit=5', 5, undefined],
    ['studies?limit=0', 0, '5'],
    ['studies?offset=5', 0, undefined],
    ['studies?ModalitiesInStudy=MR&limit=1', 1, '1'],
    ['instances?PatientID=A100&limit=1', 1, '2'],
  ])('%s: %i results, %s remaining', async (path, results, remaining) => {
    const { status, json, headers } = await getJson(`${base}/${path}`);
    expect([status, json.length]).toEqual([results === 0 ? 204 : 200, results]);
    expect(headers.get('warning')).toBe(
      remaining === undefined
        ? null
        : `299 ${base}: There are ${remaining} additional results that can be requested`,
    );
  });
});

describe('parameters', () => {
  it.each([
    ['studies?Nonsense=1', 'Nonsense'],
    ['studies?PatientNam=x', 'PatientNam'],
    ['studies?includefield=Nonsense', 'Nonsense'],
    ['studies?PatientName.PatientID=x', 'PatientName.PatientID'],
    ['studies?00ZZ0010=x', '00ZZ0010'],
    ['studies?StudyDate=20241301', '(0008,0020) StudyDate'],
    ['studies?StudyTime=2560', '(0008,0030) StudyTime'],
    ['instances?AcquisitionDateTime=2024-13-01', '(0008,002A) AcquisitionDateTime'],
    ['studies?TimezoneOffsetFromUTC=CET', '(0008,0201) TimezoneOffsetFromUTC'],
    ['studies?ProcedureCodeSequence=x', '(0008,1032) ProcedureCodeSequence'],
    ['studies?emptyvaluematching=yes', 'emptyvaluematching'],
    ['studies?StudyInstanceUID=1.2.*', '(0020,000D) StudyInstanceUID'],
  ])('%s: 400 that names it', async (path, name) => {
    expect(await refusal(`${base}/${path}`)).toMatchObject({
      status: 400,
      message: expect.stringContaining(name),
    });
  });

  it('attributes that are not kept are ignored, and named in a warning (PS3.4 C.2.2.1.3)', async () => {
    const { json, headers } = await getJson(`${base}/studies?PatientAddress=x&00091001=y&PatientID=A100`);
    expect(json).toHaveLength(1);
    expect(headers.get('warning')).toBe(
      `299 ${base}: Not kept in the index, and therefore not matched, but ignored: (0010,1040) PatientAddress, (0009,1001)`,
    );
  });
});

describe('forms of the answer', () => {
  const XML = 'multipart/related; type="application/dicom+xml"';

  it.each([
    [undefined, 'application/dicom+json'],
    ['application/dicom+json', 'application/dicom+json'],
    ['application/json', 'application/json'],
    [XML, 'multipart/related; type="application/dicom+xml"'],
    [`${XML}; q=0.5, application/dicom+json; q=0.9`, 'application/dicom+json'],
    [`application/dicom+json; q=0.5, ${XML}`, 'multipart/related; type="application/dicom+xml"'],
    ['text/html, */*; q=0.1', 'application/dicom+json'],
  ])('%s: %s', async (accept, type) => {
    const answer = await get(`${base}/studies`, accept);
    expect([answer.status, answer.type.startsWith(type)]).toEqual([200, true]);
    expect(answer.headers.get('vary')).toContain('Accept');
    expect(answer.headers.get('cache-control')).toBe('private, no-cache');
  });

  it('406 says what there is', async () => {
    expect(await refusal(`${base}/studies`, { headers: { Accept: 'text/html' } })).toMatchObject({
      status: 406,
      message: expect.stringMatching(/application\/dicom\+json.*application\/dicom\+xml/),
    });
  });

  it('XML is one part a result, in the order of the results', async () => {
    const parts = await getParts(`${base}/studies`, XML);
    expect(parts.map(({ type }) => type)).toEqual(parts.map(() => 'application/dicom+xml'));
    const uids = parts.map(
      ({ body }) => /keyword="StudyInstanceUID"><Value number="1">([\d.]+)</.exec(body.toString())?.[1],
    );
    expect(uids).toEqual(ALL);
    expect(parts[1]!.body.toString()).toContain(
      '<Ideographic><FamilyName>山田</FamilyName><GivenName>太郎</GivenName></Ideographic>',
    );
  });

  it('the same answer is 304, another one is not', async () => {
    const first = await get(`${base}/studies?PatientID=A100`);
    const etag = first.headers.get('etag')!;
    const again = await fetch(`${base}/studies?PatientID=A100`, { headers: { 'If-None-Match': etag } });
    expect(again.status).toBe(304);
    const other = await fetch(`${base}/studies?PatientID=A200`, { headers: { 'If-None-Match': etag } });
    expect(other.status).toBe(200);
  });
});
