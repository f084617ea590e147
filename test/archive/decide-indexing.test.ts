import { describe, expect, it } from 'vitest';
import { decideIndexing, type IncomingIdentity, type KnownIndex } from '../../src/archive/decide-indexing.ts';

const object = (more: Partial<IncomingIdentity> = {}): IncomingIdentity => ({
  sopUid: '1.1',
  seriesUid: '1.2',
  studyUid: '1.3',
  patientId: 'P',
  issuer: '',
  contentHash: 'aa',
  ...more,
});

function knowing(...objects: IncomingIdentity[]): KnownIndex {
  const known: KnownIndex = {
    studies: new Map(),
    seriesStudies: new Map(),
    instances: new Map(),
    objects: new Set(),
  };
  decideIndexing(known, objects);
  return known;
}

const nothing = knowing();
const other = object({ sopUid: '9.1', contentHash: 'ff' });

/** What the index knows, what comes, and what becomes of it. */
const cases: [string, KnownIndex, IncomingIdentity, string, string[], boolean][] = [
  ['the first object of a study', nothing, object(), 'new', [], false],
  ['the same object again', knowing(object()), object(), 'same', [], false],
  [
    'other bytes under a known SOP UID',
    knowing(object()),
    object({ contentHash: 'bb' }),
    'version',
    ['content'],
    false,
  ],
  [
    'a known SOP UID in another series',
    knowing(object()),
    object({ contentHash: 'bb', seriesUid: '2.2' }),
    'version',
    ['instance-series'],
    true,
  ],
  [
    'a known SOP UID in another study',
    knowing(object()),
    object({ contentHash: 'bb', studyUid: '2.3' }),
    'version',
    ['instance-series'],
    true,
  ],
  ['another instance of the series', knowing(other), object(), 'new', [], false],
  ['another series of the study', knowing(other), object({ seriesUid: '2.2' }), 'new', [], false],
  [
    'a known Series UID in another study',
    knowing(other),
    object({ studyUid: '2.3' }),
    'new',
    ['series-study'],
    true,
  ],
  ['another patient’s object', knowing(other), object({ patientId: 'Q' }), 'new', ['patient'], true],
  ['an object without a patient ID', knowing(other), object({ patientId: '' }), 'new', ['patient'], true],
  [
    'a patient ID where the study has none',
    knowing(object({ ...other, patientId: '' })),
    object(),
    'new',
    ['patient'],
    true,
  ],
  [
    'no patient ID, as in the study',
    knowing(object({ ...other, patientId: '' })),
    object({ patientId: '' }),
    'new',
    [],
    false,
  ],
  ['an issuer where the study has none', knowing(other), object({ issuer: 'A' }), 'new', [], false],
  [
    'no issuer where the study has one',
    knowing(object({ ...other, issuer: 'A' })),
    object(),
    'new',
    [],
    false,
  ],
  [
    'another issuer',
    knowing(object({ ...other, issuer: 'A' })),
    object({ issuer: 'B' }),
    'new',
    ['patient'],
    true,
  ],
  [
    'another issuer than a later object of the study gave',
    knowing(other, object({ ...other, sopUid: '9.2', contentHash: 'fe', issuer: 'A' })),
    object({ issuer: 'B' }),
    'new',
    ['patient'],
    true,
  ],
  [
    'another issuer than a stranger’s object gave, which settles nothing',
    knowing(other, object({ ...other, sopUid: '9.2', contentHash: 'fe', patientId: 'Q', issuer: 'A' })),
    object({ issuer: 'B' }),
    'new',
    [],
    false,
  ],
  [
    'another patient and a stray series at once',
    knowing(other, object({ sopUid: '8.1', studyUid: '8.3', seriesUid: '8.2', contentHash: 'ee' })),
    object({ patientId: 'Q', seriesUid: '8.2' }),
    'new',
    ['patient', 'series-study'],
    true,
  ],
];

describe('what becomes of', () => {
  it.each(cases)('%s', (_, known, incoming, outcome, conflicts, holds) => {
    const [decision] = decideIndexing(structuredClone(known), [incoming]);
    expect(decision!.outcome).toBe(outcome);
    expect(decision!.conflicts.map(({ kind }) => kind)).toEqual(conflicts);
    expect(decision!.holds).toBe(holds);
  });

  it('a batch sees itself, in the order of arrival', () => {
    const batch = [
      object(),
      object(),
      object({ contentHash: 'bb' }),
      object({ contentHash: 'bb' }),
      object({ sopUid: '1.4', contentHash: 'cc', patientId: 'Q' }),
    ];
    const decisions = decideIndexing(knowing(), batch);
    expect(decisions.map(({ outcome }) => outcome)).toEqual(['new', 'same', 'version', 'same', 'new']);
    expect(decisions.map(({ newStudy }) => newStudy)).toEqual([true, false, false, false, false]);
    expect(decisions[4]!.conflicts.map(({ kind }) => kind)).toEqual(['patient']);
  });

  it('is said without a value of the patient', () => {
    const [decision] = decideIndexing(knowing(other), [object({ patientId: 'SECRET' })]);
    expect(decision!.conflicts[0]!.reason).toMatch(/\(0020,000D\).*\(0010,0020\)/);
    expect(JSON.stringify(decision)).not.toContain('SECRET');
  });
});
