/**
 * Decides, for a batch of settled objects and what the index already knows of them, what becomes of each:
 * a new instance, the same again, another version, or a thing a person must look at.
 * Pure: study-index.ts loads the known rows under a lock, asks here, and writes the answer.
 *
 * The right patient (DESIGN promise 8): a patient is ID plus issuer; a blank ID joins nothing.
 */

export interface IncomingIdentity {
  sopUid: string;
  seriesUid: string;
  studyUid: string;
  patientId: string;
  issuer: string;
  /** hex */
  contentHash: string;
}

export interface KnownIndex {
  /** by Study UID */
  studies: Map<string, { patientId: string; issuer: string }>;
  /** by Series UID: the studies it stands in */
  seriesStudies: Map<string, Set<string>>;
  /** by SOP UID */
  instances: Map<string, { studyUid: string; seriesUid: string }>;
  /** `${sopUid} ${contentHash}` of every stored object */
  objects: Set<string>;
}

export type ConflictKind = 'content' | 'patient' | 'series-study' | 'instance-series';

export interface Decision {
  /** new: a first version and its instance; same: nothing to write; version: kept beside the current one. */
  outcome: 'new' | 'same' | 'version';
  newStudy: boolean;
  newSeries: boolean;
  conflicts: { kind: ConflictKind; reason: string }[];
  /** A person must decide before the study goes anywhere. */
  holds: boolean;
}

const REASONS: Record<ConflictKind, string> = {
  content:
    'other bytes arrived under a (0008,0018) SOPInstanceUID that is already stored; the first stays current',
  patient: 'the (0020,000D) StudyInstanceUID is known under another (0010,0020) PatientID',
  'series-study': 'the (0020,000E) SeriesInstanceUID is known under another (0020,000D) StudyInstanceUID',
  'instance-series': 'the (0008,0018) SOPInstanceUID is known under another (0020,000E) SeriesInstanceUID',
};

/** Decides in order of arrival and enters each decision into `known`, so that a batch sees itself. */
export function decideIndexing(known: KnownIndex, incoming: readonly IncomingIdentity[]): Decision[] {
  return incoming.map((object) => decideOne(known, object));
}

function decideOne(known: KnownIndex, object: IncomingIdentity): Decision {
  const conflict = (kind: ConflictKind) => ({ kind, reason: REASONS[kind] });
  const version = `${object.sopUid} ${object.contentHash}`;
  if (known.objects.has(version))
    return { outcome: 'same', newStudy: false, newSeries: false, conflicts: [], holds: false };
  known.objects.add(version);

  const current = known.instances.get(object.sopUid);
  if (current) {
    const elsewhere = current.seriesUid !== object.seriesUid || current.studyUid !== object.studyUid;
    return {
      outcome: 'version',
      newStudy: false,
      newSeries: false,
      conflicts: [conflict(elsewhere ? 'instance-series' : 'content')],
      holds: elsewhere,
    };
  }

  const conflicts: Decision['conflicts'] = [];
  const study = known.studies.get(object.studyUid);
  if (study && !samePatient(study, object)) conflicts.push(conflict('patient'));
  const studies = known.seriesStudies.get(object.seriesUid) ?? new Set<string>();
  const newSeries = !studies.has(object.studyUid);
  if (newSeries && studies.size > 0) conflicts.push(conflict('series-study'));

  if (!study) known.studies.set(object.studyUid, { patientId: object.patientId, issuer: object.issuer });
  // The first object of this patient that gives an issuer settles it for the study.
  else if (study.issuer === '' && conflicts.length === 0) study.issuer = object.issuer;
  known.seriesStudies.set(object.seriesUid, studies.add(object.studyUid));
  known.instances.set(object.sopUid, { studyUid: object.studyUid, seriesUid: object.seriesUid });
  return { outcome: 'new', newStudy: !study, newSeries, conflicts, holds: conflicts.length > 0 };
}

/** An issuer that one side does not give cannot contradict the other's; an ID that one side does not give can. */
function samePatient(
  a: { patientId: string; issuer: string },
  b: { patientId: string; issuer: string },
): boolean {
  return a.patientId === b.patientId && (a.issuer === b.issuer || a.issuer === '' || b.issuer === '');
}
