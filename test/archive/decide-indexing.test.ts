import { describe, expect, it } from 'vitest';
import {
  type ConflictPolicy,
  decideIndexing,
  type IncomingIdentity,
  type KnownIndex,
} from '../../src/archive/decide-indexing.ts';

const EXPLICIT = '1.2.840.10008.1.2.1';
const IMPLICIT = '1.2.840.10008.1.2';

const object = (more: Partial<IncomingIdentity> = {}): IncomingIdentity => ({
  sopUid: '1.1',
  seriesUid: '1.2',
  studyUid: '1.3',
  patientId: 'P',
  issuer: '',
  contentHash: 'aa',
  transferSyntax: EXPLICIT,
  refusable: false,
  ...more,
});

function knowing(...objects: IncomingIdentity[]): KnownIndex {
  const known: KnownIndex = {
    studies: new Map(),
    seriesStudies: new Map(),
    instances: new Map(),
    objects: new Map(),
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

/** Policy, whether the sender waits, what comes under a known SOP UID; its outcome, role, conflicts, hold and wait. */
const twins: [string, ConflictPolicy, Partial<IncomingIdentity>, object][] = [
  ['the same bytes', 'keep-first', {}, { outcome: 'same', awaits: false }],
  ['the same bytes', 'replace', {}, { outcome: 'same' }],
  ['the same bytes', 'refuse', { refusable: true }, { outcome: 'same', awaits: false }],
  [
    'other bytes',
    'keep-first',
    { contentHash: 'bb' },
    { outcome: 'version', role: 'conflict', holds: false },
  ],
  [
    'other bytes',
    'replace',
    { contentHash: 'bb' },
    { outcome: 'replacement', role: 'current', holds: false },
  ],
  ['other bytes', 'refuse', { contentHash: 'bb', refusable: true }, { outcome: 'refused', conflicts: [] }],
  // Accepted before the policy was changed: its sender has its Success.
  [
    'other bytes of one who was told Success',
    'refuse',
    { contentHash: 'bb' },
    { outcome: 'version', role: 'conflict' },
  ],
  ...(['keep-first', 'replace'] as const).map((policy): (typeof twins)[number] => [
    'another transfer syntax',
    policy,
    { contentHash: 'bb', transferSyntax: IMPLICIT },
    { outcome: 'version', role: 'undecided', conflicts: [], holds: false, awaits: false },
  ]),
  [
    'another transfer syntax',
    'refuse',
    { contentHash: 'bb', transferSyntax: IMPLICIT, refusable: true },
    { outcome: 'version', role: 'undecided', conflicts: [], awaits: true },
  ],
  // Who and where it is go before what it holds, whatever the policy.
  ...(['keep-first', 'replace', 'refuse'] as const).flatMap((policy): (typeof twins)[number][] => [
    [
      'another series',
      policy,
      { contentHash: 'bb', seriesUid: '2.2', refusable: policy === 'refuse' },
      { outcome: 'version', role: 'conflict', holds: true, conflicts: [{ kind: 'instance-series' }] },
    ],
    [
      'another study, in another transfer syntax',
      policy,
      { contentHash: 'bb', studyUid: '2.3', transferSyntax: IMPLICIT },
      {
        outcome: 'version',
        role: 'conflict',
        holds: true,
        conflicts: [{ kind: 'instance-series', otherStudyUid: '1.3' }],
      },
    ],
    [
      'another patient',
      policy,
      { contentHash: 'bb', patientId: 'Q', refusable: policy === 'refuse' },
      { outcome: 'version', role: 'conflict', holds: true, conflicts: [{ kind: 'patient', against: 'aa' }] },
    ],
  ]),
];

describe('a known SOP UID again, with', () => {
  it.each(twins)('%s (%s)', (_, policy, more, expected) => {
    expect(decideIndexing(knowing(object()), [object(more)], policy)[0]).toMatchObject(expected);
  });

  it('versions of one batch: each replaces the one before', () => {
    const batch = ['aa', 'bb', 'cc', 'aa'].map((contentHash) => object({ contentHash }));
    const decisions = decideIndexing(knowing(), batch, 'replace');
    expect(decisions.map(({ outcome }) => outcome)).toEqual(['new', 'replacement', 'replacement', 'same']);
    expect(decisions.map(({ conflicts }) => conflicts[0]?.against)).toEqual([
      undefined,
      'aa',
      'bb',
      undefined,
    ]);
  });

  it('what waits to be compared keeps the next sender of it waiting too, when it may be refused', () => {
    const known = knowing(object(), object({ contentHash: 'bb', transferSyntax: IMPLICIT }));
    const again = { contentHash: 'bb', transferSyntax: IMPLICIT };
    const [told, waits] = decideIndexing(
      known,
      [object(again), object({ ...again, refusable: true })],
      'refuse',
    );
    expect(told).toMatchObject({ outcome: 'same', awaits: false });
    expect(waits).toMatchObject({ outcome: 'same', awaits: true });
  });

  it('what is refused is not known: it is refused again', () => {
    const known = knowing(object());
    const other = object({ contentHash: 'bb', refusable: true });
    expect(decideIndexing(known, [other, other], 'refuse').map(({ outcome }) => outcome)).toEqual([
      'refused',
      'refused',
    ]);
  });
});

describe('what a person has said of another patient in the study', () => {
  const saying = (together: boolean): KnownIndex => {
    const known = knowing(other);
    known.studies.get('1.3')!.decided.push({ patientId: 'Q', issuer: '', together });
    return known;
  };

  it('the same patient: no conflict any more, but of a third', () => {
    const known = saying(true);
    const [same, third] = decideIndexing(known, [
      object({ patientId: 'Q' }),
      object({ sopUid: '1.9', patientId: 'R', contentHash: 'cc' }),
    ]);
    expect(same).toMatchObject({ outcome: 'new', conflicts: [], holds: false });
    expect(third).toMatchObject({ outcome: 'new', conflicts: [{ kind: 'patient' }], holds: true });
  });

  it('kept apart: stored, listed as settled, in no study, and nothing is held', () => {
    const [apart] = decideIndexing(saying(false), [object({ patientId: 'Q' })]);
    expect(apart).toMatchObject({
      outcome: 'version',
      role: 'conflict',
      conflicts: [{ kind: 'patient', settled: 'set-aside' }],
      holds: false,
    });
  });
});
