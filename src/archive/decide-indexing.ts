/**
 * Decides, for a batch of settled objects and what the index already knows of them, what becomes of each:
 * a new instance, the same again, another version, or a thing a person must look at.
 * Pure: study-index.ts loads the known rows under a lock, asks here, and writes the answer.
 *
 * The right patient (DESIGN promise 8): a patient is ID plus issuer; a blank ID joins nothing.
 */

/** What becomes of other content under a SOP Instance UID that is known in the same place (CONFLICT_POLICY). */
export type ConflictPolicy = 'keep-first' | 'replace' | 'refuse';

export interface PatientIdentity {
  patientId: string;
  issuer: string;
}

export interface IncomingIdentity extends PatientIdentity {
  sopUid: string;
  seriesUid: string;
  studyUid: string;
  /** hex */
  contentHash: string;
  transferSyntax: string;
  /** Its sender is answered only after this decision: other content need not be kept. */
  refusable: boolean;
  /** A replay brings it, and the index had taken its record before the crash. */
  indexedBefore?: boolean;
  /** Somebody sends it, now or before a crash: it is not only found in the store. */
  sent?: boolean;
}

export interface KnownStudy extends PatientIdentity {
  /** What a person said of other patients' objects in it. */
  decided: (PatientIdentity & { together: boolean })[];
}

export interface KnownInstance {
  studyUid: string;
  seriesUid: string;
  /** Of the current version. */
  transferSyntax: string;
  /** hex */
  contentHash: string;
}

export interface KnownIndex {
  /** by Study UID */
  studies: Map<string, KnownStudy>;
  /** by Series UID: the studies it stands in */
  seriesStudies: Map<string, Set<string>>;
  /** by SOP UID */
  instances: Map<string, KnownInstance>;
  /** `${sopUid} ${contentHash}` of every stored object; 'undecided' while it is compared */
  objects: Map<string, 'decided' | 'undecided'>;
}

export type ConflictKind = 'content' | 'patient' | 'series-study' | 'instance-series';

export interface FoundConflict {
  kind: ConflictKind;
  reason: string;
  /** Where the UID stood before, when that is another study. */
  otherStudyUid?: string;
  /** hex; the version that was current when this one came */
  against?: string;
  /** Settled as it is found: by the policy, or as a person decided before. */
  settled?: 'replaced' | 'set-aside';
}

export interface Decision {
  /**
   * new: a first version and its instance; same: nothing to write; version: kept beside the current one;
   * replacement: kept in its place; reinstated: kept before, beside one that was deleted since, and its instance now;
   * refused: not kept, and the sender is told so; gone: it was here, and was deleted, dropped or refused since.
   */
  outcome: 'new' | 'same' | 'version' | 'replacement' | 'reinstated' | 'refused' | 'gone';
  /** Of the object's row; undecided: its values are to be compared, since only its transfer syntax may differ. */
  role: 'current' | 'conflict' | 'undecided';
  newStudy: boolean;
  newSeries: boolean;
  conflicts: FoundConflict[];
  /** A person must decide before the study goes anywhere. */
  holds: boolean;
  /** The sender must wait until the comparison has decided. */
  awaits: boolean;
}

export const REFUSED =
  'other bytes are stored under this (0008,0018) SOPInstanceUID, and other content is refused (CONFLICT_POLICY)';

const REASONS: Record<ConflictKind, string> = {
  content:
    'other bytes arrived under a (0008,0018) SOPInstanceUID that is already stored; the first stays current',
  patient: 'the (0020,000D) StudyInstanceUID is known under another (0010,0020) PatientID',
  'series-study': 'the (0020,000E) SeriesInstanceUID is known under another (0020,000D) StudyInstanceUID',
  'instance-series': 'the (0008,0018) SOPInstanceUID is known under another (0020,000E) SeriesInstanceUID',
};
const REPLACED =
  'other bytes arrived under a (0008,0018) SOPInstanceUID that is already stored, and took its place (CONFLICT_POLICY)';

const NOTHING: Decision = {
  outcome: 'same',
  role: 'current',
  newStudy: false,
  newSeries: false,
  conflicts: [],
  holds: false,
  awaits: false,
};

/** Decides in order of arrival and enters each decision into `known`, so that a batch sees itself. */
export function decideIndexing(
  known: KnownIndex,
  incoming: readonly IncomingIdentity[],
  policy: ConflictPolicy = 'keep-first',
): Decision[] {
  return incoming.map((object) => decideOne(known, object, policy));
}

function decideOne(known: KnownIndex, object: IncomingIdentity, policy: ConflictPolicy): Decision {
  const version = `${object.sopUid} ${object.contentHash}`;
  const before = known.objects.get(version);
  const current = known.instances.get(object.sopUid);
  if (before !== undefined) {
    if (before === 'decided' && !current && object.sent && !object.indexedBefore)
      return decideAgain(known, object);
    return { ...NOTHING, awaits: object.refusable && before === 'undecided' };
  }
  if (object.indexedBefore) return { ...NOTHING, outcome: 'gone' };

  const decision = current ? decideVersion(known, object, current, policy) : decideNew(known, object);
  if (decision.outcome === 'refused') return decision;
  known.objects.set(version, decision.role === 'undecided' ? 'undecided' : 'decided');
  if (decision.role === 'current') known.instances.set(object.sopUid, instanceOf(object));
  return decision;
}

/**
 * A version that was set aside, and what it was set aside for is deleted: who sends it is told Success and must find it.
 * Only where a person keeps its patient apart from the study it stays aside.
 */
function decideAgain(known: KnownIndex, object: IncomingIdentity): Decision {
  const decision = decideNew(known, object);
  if (decision.outcome !== 'new') return NOTHING;
  known.instances.set(object.sopUid, instanceOf(object));
  return { ...decision, outcome: 'reinstated' };
}

/** Other bytes under a SOP Instance UID that has a current version. */
function decideVersion(
  known: KnownIndex,
  object: IncomingIdentity,
  current: KnownInstance,
  policy: ConflictPolicy,
): Decision {
  const { contentHash: against } = current;
  const identity: FoundConflict[] = [];
  if (current.seriesUid !== object.seriesUid || current.studyUid !== object.studyUid)
    identity.push({
      kind: 'instance-series',
      reason: REASONS['instance-series'],
      against,
      ...(current.studyUid !== object.studyUid && { otherStudyUid: current.studyUid }),
    });
  const stranger = strangerIn(known, object);
  if (stranger) identity.push({ ...stranger, against });
  // Who or where it is must be settled by a person, whatever the policy for its content.
  if (identity.length > 0)
    return {
      ...NOTHING,
      outcome: 'version',
      role: 'conflict',
      conflicts: identity,
      holds: identity.some(({ settled }) => settled === undefined),
    };
  if (current.transferSyntax !== object.transferSyntax)
    return { ...NOTHING, outcome: 'version', role: 'undecided', awaits: object.refusable };
  if (object.refusable) return { ...NOTHING, outcome: 'refused' };
  if (policy === 'replace')
    return {
      ...NOTHING,
      outcome: 'replacement',
      conflicts: [{ kind: 'content', reason: REPLACED, against, settled: 'replaced' }],
    };
  return {
    ...NOTHING,
    outcome: 'version',
    role: 'conflict',
    conflicts: [{ kind: 'content', reason: REASONS.content, against }],
  };
}

function decideNew(known: KnownIndex, object: IncomingIdentity): Decision {
  const conflicts: FoundConflict[] = [];
  const study = known.studies.get(object.studyUid);
  const stranger = strangerIn(known, object);
  // A person has said before that this patient's objects are kept apart from the study.
  if (stranger?.settled) return { ...NOTHING, outcome: 'version', role: 'conflict', conflicts: [stranger] };
  if (stranger) conflicts.push(stranger);
  const studies = known.seriesStudies.get(object.seriesUid) ?? new Set<string>();
  const newSeries = !studies.has(object.studyUid);
  const otherStudyUid = [...studies][0];
  if (newSeries && otherStudyUid !== undefined)
    conflicts.push({ kind: 'series-study', reason: REASONS['series-study'], otherStudyUid });

  const { patientId, issuer } = object;
  if (!study) known.studies.set(object.studyUid, { patientId, issuer, decided: [] });
  // The first object of this patient that gives an issuer settles it for the study.
  else if (study.issuer === '' && study.patientId === patientId && conflicts.length === 0)
    study.issuer = issuer;
  known.seriesStudies.set(object.seriesUid, studies.add(object.studyUid));
  return {
    ...NOTHING,
    outcome: 'new',
    newStudy: !study,
    newSeries,
    conflicts,
    holds: conflicts.length > 0,
  };
}

function instanceOf({ studyUid, seriesUid, transferSyntax, contentHash }: IncomingIdentity): KnownInstance {
  return { studyUid, seriesUid, transferSyntax, contentHash };
}

/** The conflict when the object is another patient's than its study, unless a person has said they are the same. */
function strangerIn(known: KnownIndex, object: IncomingIdentity): FoundConflict | undefined {
  const study = known.studies.get(object.studyUid);
  if (!study || samePatient(study, object)) return undefined;
  const decided = study.decided.find(
    ({ patientId, issuer }) => patientId === object.patientId && issuer === object.issuer,
  );
  if (decided?.together) return undefined;
  return { kind: 'patient', reason: REASONS.patient, ...(decided && { settled: 'set-aside' }) };
}

/** An issuer that one side does not give cannot contradict the other's; an ID that one side does not give can. */
export function samePatient(a: PatientIdentity, b: PatientIdentity): boolean {
  return a.patientId === b.patientId && (a.issuer === b.issuer || a.issuer === '' || b.issuer === '');
}
