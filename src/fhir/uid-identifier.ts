/**
 * DICOM UIDs as FHIR writes them: identifiers, URIs and ids.
 * Called by the mapping, by the search for what the EHR already has, and by the facade.
 * A UID that is no OID in FHIR's syntax (leading zeros, a first arc above 2) stands bare beside the system
 * urn:dicom:uid, because `urn:oid:` before it would be an invalid URI.
 */
import type { Coding, Identifier } from './resource.ts';

/** FHIR R4 datatype oid, without its prefix. */
const OID = /^[0-2](\.(0|[1-9][0-9]*))+$/;
/** FHIR R4 datatype id. */
const ID = /^[A-Za-z0-9\-.]{1,64}$/;

export const DICOM_UID_SYSTEM = 'urn:dicom:uid';

/** Whether the text is an OID in FHIR's syntax. */
export function isOid(text: string): boolean {
  return OID.test(text);
}

/** Whether the UID can stand in series.uid and instance.uid, which are of type id. */
export function isFhirId(uid: string): boolean {
  return ID.test(uid);
}

/** The value of a UID identifier: `urn:oid:` and the UID, or the bare UID where that is no OID. */
export function uidValue(uid: string): string {
  return isOid(uid) ? `urn:oid:${uid}` : uid;
}

/** The identifier of an ImagingStudy (R4 ImagingStudy 12.8.3): the one it is searched by. */
export function studyIdentifier(studyUid: string): Identifier & { system: string; value: string } {
  return { system: DICOM_UID_SYSTEM, value: uidValue(studyUid) };
}

/** instance.sopClass: a URI under RFC 3986. */
export function sopClassCoding(sopClassUid: string): Coding {
  return isOid(sopClassUid)
    ? { system: 'urn:ietf:rfc:3986', code: `urn:oid:${sopClassUid}` }
    : { system: DICOM_UID_SYSTEM, code: sopClassUid };
}

/** The StudyInstanceUID an identifier token of a search asks for; undefined when it asks for something else. */
export function studyUidOfToken(token: string): string | undefined {
  const bar = token.indexOf('|');
  if (bar >= 0 && token.slice(0, bar) !== DICOM_UID_SYSTEM) return undefined;
  return token.slice(bar + 1).replace(/^urn:oid:/, '') || undefined;
}
