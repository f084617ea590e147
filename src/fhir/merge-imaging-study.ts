/**
 * Joins what we say of a study with what the EHR has added to it. Pure.
 * Called by link-study.ts before an update: what DICOM decides is replaced whole, what the EHR owns stays.
 */
import type { Identifier, ImagingStudy, ImagingStudySeries, Reference } from './resource.ts';
import { DICOM_UID_SYSTEM } from './uid-identifier.ts';

/** Ours alone: also taken away where the images no longer say them. */
const OURS = [
  'modality',
  'subject',
  'started',
  'numberOfSeries',
  'numberOfInstances',
  'description',
] as const satisfies readonly (keyof ImagingStudy)[];

/** Ours where we have something to say; else what the EHR knows from the order. */
const OURS_IF_SAID = ['procedureCode', 'reasonCode'] as const satisfies readonly (keyof ImagingStudy)[];

/** What others may have added to a series; the rest of it comes from the images. */
const KEPT_IN_SERIES = ['id', 'extension', 'modifierExtension', 'endpoint'] as const;

/**
 * @param existing the resource as just read from the EHR, with whatever members it has
 * @param ours     the resource as the images say it now
 * @returns the resource to send; deeply equal to `existing` when there is nothing to say
 */
export function mergeImagingStudy(existing: ImagingStudy, ours: ImagingStudy): ImagingStudy {
  const merged: ImagingStudy = { ...existing };
  for (const element of [...OURS, ...OURS_IF_SAID]) {
    if (ours[element] !== undefined) Object.assign(merged, { [element]: ours[element] });
    else if (!OURS_IF_SAID.some((kept) => kept === element)) delete merged[element];
  }
  // A person said that this study should not exist: late images do not overrule that.
  merged.status = existing.status === 'entered-in-error' ? existing.status : ours.status;
  merged.identifier = mergeIdentifiers(existing.identifier ?? [], ours.identifier);
  setOrDelete(merged, 'basedOn', union(existing.basedOn, ours.basedOn));
  setOrDelete(merged, 'endpoint', union(existing.endpoint, ours.endpoint));
  // The EHR may have found the practitioner behind the name; our name is all that we have.
  if (existing.referrer?.reference === undefined && ours.referrer) merged.referrer = ours.referrer;
  setOrDelete(merged, 'series', mergeSeries(existing.series ?? [], ours.series ?? []));
  return merged;
}

/**
 * What is left of a resource once the images are gone from us. Where another archive has them too only our Endpoint goes;
 * else it says `cancelled` (R4 imagingstudy-status: unavailable, though it was done; what was done and decided stands)
 * and lists nothing. What an EHR's person has called an error stays one.
 * @param endpoint our reference, as it may stand there
 */
export function withdrawnImagingStudy(existing: ImagingStudy, endpoint: string | undefined): ImagingStudy {
  const withdrawn: ImagingStudy = { ...existing };
  const others = (existing.endpoint ?? []).filter(({ reference }) => reference !== endpoint);
  setOrDelete(withdrawn, 'endpoint', others);
  if (others.length > 0) return withdrawn;
  if (existing.status !== 'entered-in-error') withdrawn.status = 'cancelled';
  setOrDelete(withdrawn, 'series', []);
  return { ...withdrawn, numberOfSeries: 0, numberOfInstances: 0 };
}

/** The EHR's own identifiers stay; the study UID and the accession number are ours. */
function mergeIdentifiers(existing: Identifier[], ours: Identifier[]): Identifier[] {
  const isOurs = (identifier: Identifier): boolean =>
    identifier.system === DICOM_UID_SYSTEM ||
    ours.some((our) => isAccession(our) && isAccession(identifier) && our.system === identifier.system);
  const found = new Set<Identifier>();
  const inPlace = existing.flatMap((identifier) => {
    if (!isOurs(identifier)) return [identifier];
    const our = ours.find((one) => one.value === identifier.value && one.system === identifier.system);
    if (our === undefined || found.has(our)) return [];
    found.add(our);
    return [{ ...identifier, ...our }];
  });
  return [...inPlace, ...ours.filter((our) => !found.has(our))];
}

const isAccession = (identifier: Identifier): boolean =>
  identifier.type?.coding?.some((coding) => coding.code === 'ACSN') ?? false;

function union(existing: Reference[] = [], ours: Reference[] = []): Reference[] {
  const missing = ours.filter((our) => !existing.some((one) => one.reference === our.reference));
  return [...existing, ...missing];
}

function mergeSeries(existing: ImagingStudySeries[], ours: ImagingStudySeries[]): ImagingStudySeries[] {
  const known = new Map(existing.map((series) => [series.uid, series]));
  return ours.map((series) => {
    const before: Record<string, unknown> = { ...known.get(series.uid) };
    const kept = KEPT_IN_SERIES.filter((element) => before[element] !== undefined);
    return { ...Object.fromEntries(kept.map((element) => [element, before[element]])), ...series };
  });
}

function setOrDelete<K extends 'basedOn' | 'endpoint' | 'series'>(
  study: ImagingStudy,
  element: K,
  list: NonNullable<ImagingStudy[K]>,
): void {
  if (list.length > 0) study[element] = list as ImagingStudy[K];
  else delete study[element];
}
