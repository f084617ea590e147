/** QIDO-RS over the real archive: what is found, in which order, with which attributes, and what is refused. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { element, sequence } from '../dicom/elements.ts';
import { type House, openHouse } from '../support/house.ts';
import { dicomwebClient, get, getJson, type Json, refusal, stow, value } from './door.ts';
import { madeObject } from './made-object.ts';

const STUDIES = [
  {
    uid: '1.2.1',
    name: 'Müller^Jürgen',
    id: 'A100',
    date: '20240105',
    time: '093000',
    modality: 'CT',
    description: 'Thorax nativ',
  },
  {
    uid: '1.2.2',
    name: 'MULLER^ANNA',
    id: 'A1%0',
    date: '20240104',
    time: '180000.5',
    modality: 'MR',
    description: 'Kopf',
  },
  {
    uid: '1.2.3',
    name: 'Yamada^Tarou=山田^太郎=やまだ^たろう',
    id: 'B_00',
    date: '20231231',
    time: '2359',
    modality: 'CT',
    description: 'Head',
  },
  { uid: '1.2.4', name: '', id: '', date: '', time: '', modality: 'US', description: '' },
];

let house: House;
let base: string;

beforeAll(async () => {
  house = await openHouse();
  base = `${house.url}/dicom-web`;
  const files = STUDIES.flatMap(({ uid, name, id, date, time, modality, description }) =>
    [1, 2, 10].map((number) =>
      madeObject({
        study: uid,
        series: `${uid}.${number === 10 ? 2 : 1}`,
        instance: `${uid}.9.${number}`,
        elements: [
          ['00080020', 'DA', date],
          ['00080030', 'TM', time],
          ['00080050', 'SH', `ACC${uid}`],
          ['00080060', 'CS', number === 10 ? 'SR' : modality],
          ['00081030', 'LO', description],
          ['00100010', 'PN', name],
          ['00100020', 'LO', id],
          ['00200011', 'IS', number === 10 ? '2' : '1'],
          ['00200013', 'IS', String(number)],
          [
            '00400275',
            'SQ',
            sequence('00400275', [element('00400009', 'SH', `STEP${number} `)]).subarray(12),
          ],
        ],
      }),
    ),
  );
  const { status, json } = await stow(house.url, files);
  if (status !== 200) throw new Error(`STOW: ${status} ${JSON.stringify(json)}`);
});
afterAll(() => house?.close());

async function studies(query: string): Promise<unknown[]> {
  const { status, json } = await getJson(`${base}/studies?${query}`);
  if (status !== 200 && status !== 204) throw new Error(JSON.stringify(json));
  return json.map((study) => value(study, '0020000D'));
}

describe('studies', () => {
  it('come newest first, those without date last', async () => {
    expect(await studies('')).toEqual(['1.2.1', '1.2.2', '1.2.3', '1.2.4']);
  });

  it('show the attributes of PS3.18 table 10.6.3-3, empty ones too', async () => {
    const { json } = await getJson(`${base}/studies?StudyInstanceUID=1.2.1,1.2.4`);
    const [full, empty] = json;
    expect(full).toMatchObject({
      '00080005': { vr: 'CS', Value: ['ISO_IR 192'] },
      '00080056': { vr: 'CS', Value: ['ONLINE'] },
      '00080061': { vr: 'CS', Value: ['CT', 'SR'] },
      '00081190': { vr: 'UR', Value: [`${base}/studies/1.2.1`] },
      '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Müller^Jürgen' }] },
      '00201206': { vr: 'IS', Value: [2] },
      '00201208': { vr: 'IS', Value: [3] },
    });
    expect(empty).toMatchObject({
      '00080020': { vr: 'DA' },
      '00100010': { vr: 'PN' },
      '00100020': { vr: 'LO' },
    });
    expect(empty?.['00100020']).not.toHaveProperty('Value');
  });

  it.each([
    ['PatientName=m%C3%BCller%5Ejurgen', ['1.2.1']],
    ['PatientName=MULLER*', ['1.2.1', '1.2.2']],
    ['PatientName=*anna', ['1.2.2']],
    ['PatientName=mull?r*', ['1.2.1', '1.2.2']],
    ['PatientName=muller', []],
    ['PatientName=yamada%5Etarou', ['1.2.3']],
    ['PatientName=%E5%B1%B1%E7%94%B0*', ['1.2.3']],
    ['PatientName=jur&fuzzymatching=true', ['1.2.1']],
    ['PatientName=anna%20mull&fuzzymatching=true', ['1.2.2']],
    ['PatientID=A100', ['1.2.1']],
    ['PatientID=A1%250', ['1.2.2']],
    ['PatientID=A1%25*', ['1.2.2']],
    ['PatientID=B_00', ['1.2.3']],
    ['PatientID=?_00', ['1.2.3']],
    ['00100020=A*', ['1.2.1', '1.2.2']],
    ['AccessionNumber=ACC1.2.3', ['1.2.3']],
    ['StudyDescription=*THORAX*', ['1.2.1']],
    ['StudyDate=20240104', ['1.2.2']],
    ['StudyDate=20240104-20240105', ['1.2.1', '1.2.2']],
    ['StudyDate=-20240104', ['1.2.2', '1.2.3']],
    ['StudyDate=20240105-', ['1.2.1']],
    ['StudyTime=1800-2359', ['1.2.2', '1.2.3']],
    ['StudyTime=09', ['1.2.1']],
    // Combined: from 31 December 23:00 to 4 January 17:00, not each day between those hours.
    ['StudyDate=20231231-20240104&StudyTime=2300-1700', ['1.2.3']],
    ['StudyDate=20231231-20240105&StudyTime=2300-1700', ['1.2.1', '1.2.2', '1.2.3']],
    ['ModalitiesInStudy=MR', ['1.2.2']],
    ['ModalitiesInStudy=MR,US', ['1.2.2', '1.2.4']],
    ['ModalitiesInStudy=C*', ['1.2.1', '1.2.3']],
    ['SOPClassesInStudy=1.2.840.10008.5.1.4.1.1.7', ['1.2.1', '1.2.2', '1.2.3', '1.2.4']],
    ['NumberOfStudyRelatedInstances=3&PatientID=A*', ['1.2.1', '1.2.2']],
    ['NumberOfStudyRelatedInstances=4', []],
    ['StudyInstanceUID=1.2.4%5C1.2.1', ['1.2.1', '1.2.4']],
    ['StudyInstanceUID=9.9', []],
    ['PatientName=&PatientID=*', ['1.2.1', '1.2.2', '1.2.3', '1.2.4']],
    ["PatientName='%20or%201=1%20--", []],
  ])('%s', async (query, expected) => {
    expect(await studies(query)).toEqual(expected);
  });

  it('page by limit and offset, and say when there is more', async () => {
    const first = await getJson(`${base}/studies?limit=2`);
    expect(first.json.map((study) => value(study, '0020000D'))).toEqual(['1.2.1', '1.2.2']);
    expect(first.headers.get('warning')).toBe(
      `299 ${base}: There are 2 additional results that can be requested`,
    );
    const second = await getJson(`${base}/studies?limit=2&offset=2`);
    expect(second.json.map((study) => value(study, '0020000D'))).toEqual(['1.2.3', '1.2.4']);
    expect(second.headers.get('warning')).toBeNull();
  });

  it('include what is asked for, and no more', async () => {
    const shown = async (query: string): Promise<Json> =>
      (await getJson(`${base}/studies?limit=1${query}`)).json[0]!;
    expect(await shown('')).not.toHaveProperty('00080062');
    expect(value(await shown('&includefield=00080062'), '00080062')).toBe('1.2.840.10008.5.1.4.1.1.7');
    expect(value(await shown('&includefield=all'), '00080062')).toBe('1.2.840.10008.5.1.4.1.1.7');
  });

  it('are no content where nothing matches', async () => {
    const { status, bytes } = await get(`${base}/studies?PatientID=nobody`);
    expect([status, bytes.length]).toEqual([204, 0]);
  });
});

describe('series and instances', () => {
  it('are found within a study, in their order', async () => {
    const series = await getJson(`${base}/studies/1.2.1/series`);
    expect(series.json.map((item) => [value(item, '0020000E'), value(item, '00201209')])).toEqual([
      ['1.2.1.1', 2],
      ['1.2.1.2', 1],
    ]);
    expect(series.json[0]).not.toHaveProperty('00100010');
    const instances = await getJson(`${base}/studies/1.2.1/instances`);
    expect(instances.json.map((item) => value(item, '00080018'))).toEqual([
      '1.2.1.9.1',
      '1.2.1.9.2',
      '1.2.1.9.10',
    ]);
    const [instance] = (await getJson(`${base}/studies/1.2.1/series/1.2.1.2/instances`)).json;
    expect(instance).toMatchObject({
      '00080018': { Value: ['1.2.1.9.10'] },
      '00081190': { Value: [`${base}/studies/1.2.1/series/1.2.1.2/instances/1.2.1.9.10`] },
      '00280010': { Value: [4] },
    });
  });

  it('are found across studies by keys of the levels above, whose attributes they show', async () => {
    const { json } = await getJson(`${base}/series?PatientID=A100&Modality=SR`);
    expect(json).toHaveLength(1);
    expect(json[0]).toMatchObject({ '0020000E': { Value: ['1.2.1.2'] }, '00100020': { Value: ['A100'] } });
    const instances = await getJson(`${base}/instances?StudyDate=20240104&InstanceNumber=2`);
    expect(instances.json.map((item) => value(item, '00080018'))).toEqual(['1.2.2.9.2']);
  });

  it('are found by an attribute inside a sequence', async () => {
    const { json } = await getJson(
      `${base}/series?RequestAttributesSequence.ScheduledProcedureStepID=STEP10&StudyInstanceUID=1.2.3`,
    );
    expect(json.map((item) => value(item, '0020000E'))).toEqual(['1.2.3.2']);
  });

  it('are no content for a study that is not there', async () => {
    expect((await get(`${base}/studies/9.9/series`)).status).toBe(204);
  });
});

describe('a client', () => {
  it('reads what dicomweb-client asks for', async () => {
    const client = dicomwebClient(house.url);
    const found = (await client.searchForStudies({
      queryParams: { PatientName: 'muller*', limit: 1 },
    })) as Json[];
    expect(found.map((study) => value(study, '0020000D'))).toEqual(['1.2.1']);
    expect(await client.searchForStudies({ queryParams: { PatientID: 'nobody' } })).toEqual([]);
    expect(await client.searchForSeries({ studyInstanceUID: '1.2.1' })).toHaveLength(2);
    expect(await client.searchForInstances({ studyInstanceUID: '1.2.1' })).toHaveLength(3);
  });

  it('may ask for plain JSON, and is told when it asks for what there is not', async () => {
    const plain = await fetch(`${base}/studies`, { headers: { Accept: 'application/json' } });
    expect(plain.headers.get('content-type')).toContain('application/json');
    const parameter = await fetch(`${base}/studies?accept=application/json`, {
      headers: { Accept: 'text/html' },
    });
    expect(parameter.headers.get('content-type')).toContain('application/json');
    // A "+" may stand in a query string as it is.
    for (const accept of ['application/dicom+json', 'application/dicom%2Bjson'])
      expect((await fetch(`${base}/studies?accept=${accept}`)).headers.get('content-type')).toBe(
        'application/dicom+json',
      );
    expect(await refusal(`${base}/studies`, { headers: { Accept: 'application/dicom+xml' } })).toMatchObject({
      status: 406,
      message: expect.stringContaining('application/dicom+json'),
    });
  });
});

describe('bad queries', () => {
  it.each([
    ['/studies?Nonsense=1', 'Nonsense'],
    ['/studies?limit=many', 'limit'],
    ['/studies?limit=-5', 'limit'],
    ['/studies?StudyInstanceUID=..%2F..%2Fetc%2Fpasswd', 'StudyInstanceUID'],
    ['/studies/..%2f..%2fetc/series', 'StudyInstanceUID'],
    ['/studies/1.2/series/x/instances', 'SeriesInstanceUID'],
    ['/studies?PatientID=%00', 'PatientID'],
    ['/studies?StudyDate=tomorrow', 'StudyDate'],
  ])('%s: 400 with a sentence that names it', async (path, name) => {
    expect(await refusal(base + path)).toMatchObject({
      status: 400,
      error: 'invalid',
      message: expect.stringContaining(name),
    });
  });
});

describe('disclosure', () => {
  it('is recorded once a search, with its count and no value of the query', async () => {
    const before = await house.db.database.query<{ id: number }>(
      'select coalesce(max(id), 0) as id from disclosure',
    );
    await getJson(`${base}/studies?PatientName=MULLER*`);
    const { rows } = await house.db.database.query(
      'select channel, recipient, address, detail from disclosure where id > $1',
      [before.rows[0]!.id],
    );
    expect(rows).toEqual([
      {
        channel: 'qido',
        recipient: 'anonymous',
        address: '127.0.0.1',
        detail: { level: 'study', results: 2 },
      },
    ]);
  });
});
