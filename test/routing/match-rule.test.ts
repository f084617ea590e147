import { describe, expect, test } from 'vitest';
import type { DicomJson, DicomJsonElement } from '../../src/dicom/dicom-json.ts';
import { Failure } from '../../src/failure.ts';
import { type InstanceFacts, matchRule } from '../../src/routing/match-rule.ts';
import { parseRule, ruleJsonSchema } from '../../src/routing/rule.ts';
import { dicom } from './given-study.ts';

const facts = (
  values: Record<string, unknown>,
  association: Partial<InstanceFacts['association']> = {},
): InstanceFacts => ({
  dataSets: [{ '00281201': { vr: 'OW', InlineBinary: 'AAA=' }, ...dicom(values) }],
  association: {
    CallingAETitle: undefined,
    CalledAETitle: undefined,
    SourceAddress: undefined,
    StowUser: undefined,
    ...association,
  },
  // A Wednesday: 11:00 in Berlin.
  at: new Date('2024-02-07T10:00:00Z'),
});

const window = (from: string, to: string, zone = 'Europe/Berlin') => ({ from, to, zone });

const decide = (when: unknown, ...instances: InstanceFacts[]) =>
  matchRule(parseRule({ when, send: ['pacs'] }).condition, instances);

const ct = facts(
  {
    Modality: 'CT',
    SOPClassUID: '1.2.840.10008.5.1.4.1.1.2',
    Rows: 512,
    SliceThickness: '1.50',
    StudyDate: '20240131',
    StudyTime: '101530.5',
    PatientAge: '016Y',
    PatientName: { Alphabetic: 'Doe^Jane', Ideographic: '山田^太郎' },
    PatientID: '4711',
    ImageType: ['ORIGINAL', 'PRIMARY', 'AXIAL'],
    StudyDescription: 'CT Thorax mit KM',
    AccessionNumber: '',
    DiffusionBValue: 0.1,
    RecommendedDisplayFrameRateInFloat: Math.fround(0.1),
    InstanceNumber: 'one',
    AcquisitionDateTime: '20240131230000.5-0500',
    ReferringPhysicianName: {},
    RequestAttributesSequence: [dicom({ ScheduledProcedureStepID: 'SPS-9' })],
  },
  { CallingAETitle: 'CT1', CalledAETitle: 'ISOCENTER', SourceAddress: '10.0.0.5', StowUser: 'uploader' },
);

describe('matchRule, one instance', () => {
  test.each([
    ['no condition', {}, true],
    ['equals', { Modality: 'CT' }, true],
    ['equals another', { Modality: 'MR' }, false],
    ['equals is exact in case', { Modality: 'ct' }, false],
    ['in', { Modality: ['MR', 'CT'] }, true],
    ['not in', { Modality: ['MR', 'US'] }, false],
    ['a number as number', { Rows: 512 }, true],
    ['a number as text', { Rows: '512' }, true],
    ['decimal strings compare as numbers', { SliceThickness: 1.5 }, true],
    ['any value of several', { ImageType: 'AXIAL' }, true],
    ['star', { StudyDescription: '*Thorax*' }, true],
    ['question mark', { Modality: 'C?' }, true],
    ['a wildcard is anchored', { StudyDescription: 'Thorax*' }, false],
    ['letters of patterns mean themselves beside wildcards', { StudyDescription: '*(Thorax)*' }, false],
    ['pattern', { StudyDescription: { pattern: '(?i)thorax.*km$' } }, true],
    ['pattern is not found', { StudyDescription: { pattern: '^Thorax' } }, false],
    ['number range', { Rows: { from: 256, to: 512 } }, true],
    ['number range, below', { Rows: { from: 513 } }, false],
    ['date range', { StudyDate: { from: '2024-01-01', to: '20240131' } }, true],
    ['date range, after', { StudyDate: { to: '20240130' } }, false],
    ['time range', { StudyTime: { from: '10:00', to: '10:15' } }, true],
    ['time range, after', { StudyTime: { from: '1016' } }, false],
    ['age range', { PatientAge: { to: '016Y' } }, true],
    ['age range, in months', { PatientAge: { from: '200M' } }, false],
    ['present', { present: 'StudyDate' }, true],
    ['present, but empty', { present: 'AccessionNumber' }, false],
    ['absent', { absent: 'BodyPartExamined' }, true],
    ['absent, but empty', { absent: 'AccessionNumber' }, true],
    ['a sequence is present', { present: 'RequestAttributesSequence' }, true],
    ['within a sequence', { 'RequestAttributesSequence.ScheduledProcedureStepID': 'SPS-*' }, true],
    ['a name by its ideographic part', { PatientName: '山田*' }, true],
    ['not', { not: { Modality: 'SR' } }, true],
    ['not, of what holds', { not: { Modality: 'CT' } }, false],
    ['all, a list', { all: [{ Modality: 'CT' }, { Rows: 512 }] }, true],
    ['all, one fails', { all: [{ Modality: 'CT' }, { Rows: 256 }] }, false],
    ['any', { any: [{ Modality: 'MR' }, { Rows: 512 }] }, true],
    ['any, none', { any: [{ Modality: 'MR' }, { Rows: 256 }] }, false],
    ['several entries must all hold', { Modality: 'CT', Rows: 256 }, false],
    ['calling AE title', { CallingAETitle: 'CT*' }, true],
    ['called AE title', { CalledAETitle: 'OTHER' }, false],
    ['source address', { SourceAddress: '10.0.0.*' }, true],
    ['source address in a range', { SourceAddress: ['192.168.0.0/16', '10.0.0.0/24'] }, true],
    ['source address outside a range', { SourceAddress: '10.0.1.0/24' }, false],
    [
      'nested',
      { not: { any: [{ Modality: 'MR' }, { all: [{ Modality: 'CT' }, { absent: 'StudyDate' }] }] } },
      true,
    ],
    ['a date however it is written', { StudyDate: '2024-01-31' }, true],
    ['a date in a list', { StudyDate: ['2024-01-30', '2024-01-31'] }, true],
    ['a minute is all of it', { StudyTime: '10:15' }, true],
    ['another minute', { StudyTime: '10:16' }, false],
    ['an age in its own unit', { PatientAge: '16Y' }, true],
    ['STOW user', { StowUser: 'uploader' }, true],
    ['a study no older than a week', { StudyAge: { to: '007D' } }, true],
    ['a study younger than a week', { StudyAge: { to: '6D' } }, false],
    ['a study older than a month', { StudyAge: { from: '1M' } }, false],
    ['a study has an age', { present: 'StudyAge' }, true],
    ['within a window', { Clock: window('08:00', '18:00') }, true],
    ['outside a window', { Clock: window('18:00', '08:00') }, false],
    ['within one of two', { Clock: [window('18:00', '08:00'), window('10:30', '11:30')] }, true],
    ['on another day', { Clock: { ...window('08:00', '18:00'), days: ['sat', 'sun'] } }, false],
    ['in another zone', { Clock: window('08:00', '18:00', 'Asia/Tokyo') }, false],
    ['not within a window', { not: { Clock: window('18:00', '08:00') } }, true],
    ['an attribute by its tag', { '00080060': 'CT' }, true],
    ['an attribute by its tag in parentheses', { '(0008,0060)': 'CT' }, true],
    ['a name without its empty components', { PatientName: 'Doe^Jane^^^' }, true],
    ['a name with all its groups', { PatientName: 'Doe^Jane=山田^太郎' }, true],
    ['a name with other groups', { PatientName: 'Doe^Jane=山田' }, false],
    ['a group of a name alone', { PatientName: { pattern: '^山田' } }, true],
    ['32 bits of a number', { DiffusionBValue: 0.1, RecommendedDisplayFrameRateInFloat: 0.1 }, true],
    ['a number written as no number', { InstanceNumber: { from: 0 } }, false],
    ['a moment, whatever its offset', { AcquisitionDateTime: { from: '2024-01-31T23:00' } }, true],
    ['a moment by its day', { AcquisitionDateTime: '20240131' }, true],
    ['a moment before', { AcquisitionDateTime: { to: '20240130' } }, false],
    ['bytes are there', { present: 'RedPaletteColorLookupTableData' }, true],
    ['a name of empty groups is none', { absent: 'ReferringPhysicianName' }, true],
    ['a missing attribute equals nothing', { BodyPartExamined: 'CHEST' }, false],
    ['a missing attribute is not anything, either', { not: { BodyPartExamined: 'CHEST' } }, true],
  ])('%s', (_name, when, expected) => {
    expect(decide(when, ct).matched).toBe(expected);
  });
});

describe('a private attribute', () => {
  const CSA = '(0029,"SIEMENS CSA HEADER",08)';
  const object = (json: DicomJson): InstanceFacts => ({ ...facts({}), dataSets: [json] });
  /** The creator has its block at 11; another has the first. */
  const own = (element: DicomJsonElement): DicomJson => ({
    '00290010': { vr: 'LO', Value: ['OTHER'] },
    '00290011': { vr: 'LO', Value: ['SIEMENS CSA HEADER '] },
    '00291008': { vr: 'CS', Value: ['NOT THIS'] },
    '00291108': element,
  });
  const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64');

  test.each<[string, DicomJsonElement, unknown, boolean]>([
    ['equals', { vr: 'CS', Value: ['IMAGE NUM 4', 'x'] }, 'IMAGE NUM 4', true],
    ['of another creator is another', { vr: 'CS', Value: ['x'] }, 'NOT THIS', false],
    ['as a number', { vr: 'DS', Value: [1.5] }, '1.50', true],
    ['as a number of bytes', { vr: 'US', Value: [800] }, [50, 800], true],
    ['as a number that no text is', { vr: 'IS', Value: [5] }, 'many', false],
    ['in a range of numbers', { vr: 'FD', Value: [850.5] }, { from: 800, to: 1000 }, true],
    ['in a range of dates', { vr: 'DA', Value: ['20240131'] }, { from: '2024-01-01' }, true],
    ['in a range that its VR has not', { vr: 'CS', Value: ['800'] }, { from: 1 }, false],
    ['by wildcard', { vr: 'LO', Value: ['epfid2d1'] }, 'epfid*', true],
    ['by pattern', { vr: 'SH', Value: ['%SiemensSeq%_ep2d'] }, { pattern: '_ep2d$' }, true],
    ['a name', { vr: 'PN', Value: [{ Alphabetic: 'Doe^Jane' }] }, 'Doe^Jane', true],
    ['without a VR, as text', { vr: 'UN', InlineBinary: base64('IMAGE NUM 4\\x ') }, 'IMAGE NUM 4', true],
    ['without a VR, in a range', { vr: 'UN', InlineBinary: base64('1000') }, { from: 800 }, true],
    ['without a VR, outside a range', { vr: 'UN', InlineBinary: base64('700 ') }, { from: 800 }, false],
    ['without a VR, no number', { vr: 'UN', InlineBinary: base64('b1000') }, { from: 800 }, false],
    ['without a VR, bytes', { vr: 'UN', InlineBinary: base64('\x01\x02') }, { pattern: '.' }, false],
    ['bytes', { vr: 'OB', InlineBinary: base64('text') }, '*', false],
  ])('%s', (_name, element, asked, expected) => {
    expect(decide({ [CSA]: asked }, object(own(element))).matched).toBe(expected);
  });

  test('is found in items, each with its own blocks, and asked for by being there', () => {
    const item = own({ vr: 'OB', InlineBinary: 'AAA=' });
    const nested = object({ '00081140': { vr: 'SQ', Value: [{}, item] }, ...own({ vr: 'CS' }) });
    expect(decide({ present: `ReferencedImageSequence.${CSA}` }, nested).matched).toBe(true);
    expect(decide({ present: CSA }, nested).matched, 'empty').toBe(false);
    const zeros = object(own({ vr: 'UN', InlineBinary: 'AAAAAA==' }));
    expect(decide({ present: CSA }, zeros).matched, 'four bytes').toBe(true);
    expect(
      decide({ absent: CSA }, object({ '00291108': item['00291108']! })).matched,
      'nobody reserved it',
    ).toBe(true);
  });

  test('is written in several ways, and told in one, without its value', () => {
    const object1 = object(own({ vr: 'LO', Value: ['SECRET'] }));
    for (const key of [CSA, '(0029,SIEMENS CSA HEADER,xx08)', '(0029, "SIEMENS CSA HEADER", 08)'])
      expect(decide({ [key]: 'SECRET' }, object1)).toMatchObject({
        matched: true,
        reason: `${CSA} is the value asked for`,
        decided: [{ attribute: CSA }],
      });
    const dots = '(0099,"1.2.840.113663.1",0a)';
    const vendor: DicomJson = {
      '00990010': { vr: 'LO', Value: ['1.2.840.113663.1'] },
      '0099100A': { vr: 'SQ', Value: [{ '00080060': { vr: 'CS', Value: ['CT'] } }] },
    };
    expect(decide({ [`${dots}.Modality`]: 'CT' }, object(vendor)).matched).toBe(true);
  });
});

describe('matchRule, a unit of many', () => {
  const mr = facts({ Modality: 'MR', Rows: 256 });
  const sr = facts({ Modality: 'SR' });

  test('holds when any instance meets it', () => {
    expect(decide({ Modality: 'CT' }, mr, sr, ct).matched).toBe(true);
    expect(decide({ Modality: 'US' }, mr, sr, ct).matched).toBe(false);
  });

  test('all entries of one condition are asked of the same instance', () => {
    expect(decide({ Modality: 'SR', Rows: 512 }, sr, ct).matched).toBe(false);
  });

  test('"all" with one condition asks every instance', () => {
    expect(decide({ all: { Modality: ['CT', 'MR'] } }, ct, mr).matched).toBe(true);
    expect(decide({ all: { Modality: ['CT', 'MR'] } }, ct, sr).matched).toBe(false);
    expect(decide({ Rows: 512, all: { not: { Modality: 'SR' } } }, mr, ct).matched).toBe(true);
  });

  test('a unit without instances meets nothing', () => {
    expect(decide({})).toMatchObject({ matched: false, reason: 'there is no instance to look at' });
  });
});

describe('the reason', () => {
  test('names the condition that decided', () => {
    expect(decide({ Modality: 'CT', Rows: 512 }, ct).reason).toBe('Modality is "CT" and Rows is 512');
    expect(decide({ Modality: 'CT', Rows: 256 }, ct).reason).toBe('Rows is not 256');
    expect(decide({ BodyPartExamined: 'CHEST' }, ct).reason).toBe('BodyPartExamined is absent');
    expect(decide({ any: [{ Modality: 'MR' }, { Rows: 256 }] }, ct).reason).toBe(
      'Modality is not "MR" and Rows is not 256',
    );
    expect(decide({ not: { Modality: 'CT' } }, ct).reason).toBe('Modality is "CT"');
  });

  test('tells where the condition stands in the rule, and the attribute by its keyword', () => {
    const when = { Modality: 'CT', any: [{ Rows: 256 }, { not: { '00181030': 'x' } }] };
    expect(decide(when, ct).decided).toEqual([
      { path: 'when.any[1].not.00181030', attribute: 'ProtocolName', held: false },
      { path: 'when.Modality', attribute: 'Modality', held: true },
    ]);
    expect(decide({ all: { Rows: { from: 600 } } }, ct).decided).toEqual([
      { path: 'when.all.Rows', attribute: 'Rows', held: false },
    ]);
    expect(decide({}, ct)).toMatchObject({ matched: true, decided: [] });
  });

  test('of the clock and the age of a study quotes what is asked', () => {
    expect(decide({ Clock: window('18:00', '08:00') }, ct).reason).toBe(
      'Clock lies outside every day 18:00 to 08:00 Europe/Berlin',
    );
    expect(decide({ StudyAge: { from: '1M' } }, ct).reason).toBe('StudyAge lies outside the range from 1M');
    expect(decide({ StudyAge: { from: '1M' } }, facts({})).reason).toBe('StudyAge is absent');
  });

  test('counts what failed in a unit of many', () => {
    const sr = facts({ Modality: 'SR' });
    expect(decide({ Modality: 'MR' }, ct, sr, sr).reason).toBe(
      'none of 3 instances meets it: Modality is not "MR" (3)',
    );
  });

  test("quotes no value of an identifying attribute, neither the rule's nor the object's", () => {
    for (const when of [
      { PatientID: '4711' },
      { PatientID: '0815' },
      { PatientName: { pattern: 'Doe' } },
      { StudyDate: { from: '20240131' } },
      { StudyDescription: ['CT Thorax mit KM', 'x'] },
      { not: { PatientID: '4711' } },
    ])
      expect(decide(when, ct).reason).not.toMatch(/4711|0815|Doe|2024|Thorax/);
  });
});

describe('a rule with faults is refused with every fault', () => {
  const faultsOf = (json: unknown): string => {
    try {
      parseRule(json);
    } catch (thrown) {
      if (thrown instanceof Failure && thrown.kind === 'invalid') return thrown.message;
      throw thrown;
    }
    return '';
  };
  test.each([
    [
      'an unknown keyword',
      { when: { Modalty: 'CT' }, send: ['p'] },
      /when\.Modalty: Modalty is no attribute keyword/,
    ],
    [
      'an unknown keyword deep inside',
      { when: { any: [{ not: { Foo: 'x' } }] }, send: ['p'] },
      /when\.any\[0\]\.not\.Foo/,
    ],
    [
      'an unknown keyword in present',
      { when: { present: 'Nothing' }, send: ['p'] },
      /when\.present: Nothing is no attribute/,
    ],
    [
      'a pattern that does not compile',
      { when: { Modality: { pattern: '(' } }, send: ['p'] },
      /no RE2 expression/,
    ],
    [
      'a look-behind, which RE2 does not have',
      { when: { Modality: { pattern: '(?<=a)b' } }, send: ['p'] },
      /no RE2 expression/,
    ],
    ['a number that is none', { when: { Rows: 'many' }, send: ['p'] }, /"many" is none/],
    ['a range of texts', { when: { Modality: { from: 'A' } }, send: ['p'] }, /a range needs a number/],
    ['a range without ends', { when: { Rows: {} }, send: ['p'] }, /from, to or both/],
    ['a range upside down', { when: { Rows: { from: 2, to: 1 } }, send: ['p'] }, /the ends are crossed/],
    ['a date that is none', { when: { StudyDate: { from: 'May' } }, send: ['p'] }, /expected a date/],
    [
      'the value of a sequence',
      { when: { RequestAttributesSequence: 'x' }, send: ['p'] },
      /a sequence has no value/,
    ],
    [
      '"all" of one condition below the top',
      { when: { not: { all: { Modality: 'CT' } } }, send: ['p'] },
      /only at the top/,
    ],
    [
      'a keyword with a slip names the nearest',
      { when: { PatientSx: 'F' }, send: ['p'] },
      /did you mean PatientSex\?/,
    ],
    ['in any case of letters', { when: { modality: 'CT' }, send: ['p'] }, /did you mean Modality\?/],
    ['also of ours', { when: { CallingAE: 'x' }, send: ['p'] }, /CallingAE is no attribute keyword/],
    ['swapped letters of ours', { when: { StudyAeg: { to: '1D' } }, send: ['p'] }, /did you mean StudyAge\?/],
    [
      'within a sequence',
      { when: { 'RequestAttributesSequence.ScheduledProcedureStepId': 'x' }, send: ['p'] },
      /ScheduledProcedureStepId is no attribute .*did you mean ScheduledProcedureStepID\?/,
    ],
    [
      'a path through what is no sequence',
      { when: { 'Modality.Rows': 1 }, send: ['p'] },
      /Modality is no sequence \(CS\)/,
    ],
    [
      'a day that no month has',
      { when: { StudyDate: { from: '20240230' } }, send: ['p'] },
      /expected a date/,
    ],
    ['a date as words', { when: { StudyDate: 'today' }, send: ['p'] }, /"today" is not a date/],
    ['an hour that no day has', { when: { StudyTime: { from: '25:00' } }, send: ['p'] }, /expected a time/],
    ['an empty text', { when: { AccessionNumber: '' }, send: ['p'] }, /use "absent"/],
    ['the age of a study as a value', { when: { StudyAge: '1D' }, send: ['p'] }, /asked by a range/],
    [
      'an age of a study that is none',
      { when: { StudyAge: { to: 'week' } }, send: ['p'] },
      /expected an age/,
    ],
    [
      'a clock without a zone',
      { when: { Clock: { from: '08:00', to: '18:00' } }, send: ['p'] },
      /when\.Clock: expected .*"zone": "Europe\/Berlin"/,
    ],
    [
      'a window of a zone that is none',
      { when: { Clock: window('08:00', '18:00', 'Mars/Base') }, send: ['p'] },
      /when\.Clock/,
    ],
    [
      'a test of no known form',
      { when: { Modality: true }, send: ['p'] },
      /when\.Modality: expected a value, a list of values/,
    ],
    [
      'several values as one',
      { when: { ImageType: 'ORIGINAL\\PRIMARY' }, send: ['p'] },
      /a backslash parts the values/,
    ],
    ['a value of bytes', { when: { EncapsulatedDocument: 'x' }, send: ['p'] }, /is bytes \(OB\)/],
    ['pixels', { when: { present: 'PixelData' }, send: ['p'] }, /PixelData is not in what rules look at/],
    ['a command', { when: { Status: 0 }, send: ['p'] }, /Status is not in what rules look at/],
    [
      'File Meta',
      { when: { absent: 'SourceApplicationEntityTitle' }, send: ['p'] },
      /\(0002,0016\) SourceApplicationEntityTitle is not in/,
    ],
    [
      'a night',
      { when: { StudyTime: { from: '22:00', to: '06:00' } }, send: ['p'] },
      /over midnight it is two/,
    ],
    [
      'a moment with a zone',
      { when: { AcquisitionDateTime: { from: '20240131100000+0100' } }, send: ['p'] },
      /without a zone/,
    ],
    [
      'a month that is none',
      { when: { AcquisitionDateTime: { to: '202413' } }, send: ['p'] },
      /expected a date/,
    ],
    ['a hexadecimal number', { when: { Rows: '0x10' }, send: ['p'] }, /"0x10" is none/],
    ['a private tag of nobody', { when: { '00291008': 'x' }, send: ['p'] }, /say whose it is, as in \(0019,/],
    [
      'the same, nested',
      { when: { present: 'ReferencedImageSequence.(0029,1008)' }, send: ['p'] },
      /whose it is/,
    ],
    [
      'a creator of a public group',
      { when: { '(0028,"X",08)': 'x' }, send: ['p'] },
      /is no attribute keyword/,
    ],
    [
      'a range of a private attribute',
      { when: { '(0029,"X",08)': { from: 'a', to: 'b' } }, send: ['p'] },
      /a range is of numbers, dates/,
    ],
    ['a private pattern', { when: { '(0029,"X",08)': { pattern: '(' } }, send: ['p'] }, /no RE2 expression/],
    [
      'a condition in the place of a value',
      { when: { Modality: { not: 'CT' } }, send: ['p'] },
      /when\.Modality: expected a value, .* conditions stand only in all, any and not/,
    ],
    [
      'one bound of two',
      { when: { Rows: { from: 1, to: true } }, send: ['p'] },
      /when\.Rows\.to: expected a text/,
    ],
    ['an empty list', { when: { Rows: [] }, send: ['p'] }, /when\.Rows: expected 1 item or more/],
    [
      'a change of no name',
      { send: ['p'], transform: [{ sett: {} }] },
      /transform\.0: expected one of set, remove, /,
    ],
    [
      'two changes in one',
      { send: ['p'], transform: [{ set: {}, remove: ['x'] }] },
      /transform\.0: remove is not known/,
    ],
    [
      'a change by its own words',
      { send: ['p'], transform: [{ patient: { table: { 1: {} } } }] },
      /transform\.0\.patient\.table\.1\.id is missing/,
    ],
    ['no destination', { when: {}, send: [] }, /send: a rule names at least one destination/],
    ['no word of destinations', { when: {} }, /send is missing/],
    [
      'an unknown unit',
      { when: {}, at: 'study', send: ['p'] },
      /"instance"\|"series-stable"\|"study-stable"/,
    ],
    ['an unknown field', { when: {}, send: ['p'], sendTo: 'x' }, /sendTo is not known here/],
    ['a list instead of a rule', [], /expected object/],
  ])('%s', (_name, json, expected) => {
    expect(faultsOf(json)).toMatch(expected);
  });

  test('that the schema would pass over', () => {
    const json: unknown = JSON.parse('{"when":{"any":[{"__proto__":{"Modality":"CT"}}]},"send":["p"]}');
    expect(faultsOf(json)).toMatch(/__proto__ is not known here/);
  });

  test('all at once', () => {
    const faults = faultsOf({ when: { Foo: 1, Rows: 'x', StudyDate: { from: 'y' } }, send: ['p'] });
    expect(faults).toMatch(/3 faults.*Foo.*Rows.*StudyDate/);
  });

  test('however deep it is nested', () => {
    let when: Record<string, unknown> = {};
    for (let depth = 0; depth < 50_000; depth++) when = { not: when };
    expect(faultsOf({ when, send: ['p'] })).toMatch(/nested deeper/);
  });
});

test('a hostile pattern costs linear time', () => {
  const long = facts({ StudyDescription: `${'a'.repeat(60_000)}!` });
  expect(decide({ StudyDescription: { pattern: '^(a+)+$' } }, long).matched).toBe(false);
});

test('the published schema is JSON Schema and knows the form', () => {
  const schema = ruleJsonSchema() as {
    $schema: string;
    required: string[];
    properties: Record<string, unknown>;
  };
  expect(schema.$schema).toContain('2020-12');
  expect(schema.required).toEqual(['send']);
  expect(Object.keys(schema.properties)).toEqual([
    'when',
    'at',
    'send',
    'transform',
    'hold',
    'priority',
    'enabled',
    'description',
  ]);
});
