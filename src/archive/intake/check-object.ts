/**
 * What an object must say of itself before we may answer Success: readable UIDs that agree with the command's,
 * and a data set that is whole. Pure; asked by object-writer.ts for DIMSE and STOW alike.
 */
import { label } from '../../dicom/attributes.ts';
import { type Scan, scanUid } from '../../dicom/header-scan.ts';
import { isUid } from '../../dicom/uid.ts';
import { Failure } from '../../failure.ts';

export interface DeclaredObject {
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
}

export interface ObjectIdentity {
  sopClassUid: string;
  sopInstanceUid: string;
  studyInstanceUid: string;
  seriesInstanceUid: string;
}

const SOP_CLASS = '00080016';
const SOP_INSTANCE = '00080018';
const STUDY = '0020000D';
const SERIES = '0020000E';

/**
 * @throws Failure 'invalid' when a UID cannot be read or the data set is broken (PS3.4 B.2.3: 0xC000),
 *         'mismatch' when the data set disagrees with the command or File Meta (0xA900)
 */
export function checkObject(declared: DeclaredObject, scan: Scan): ObjectIdentity {
  if (scan.fault !== undefined || !scan.complete)
    // The fault first: an Error Comment has room for 64 characters.
    throw new Failure('invalid', `${scan.fault ?? 'it ends too early'}, so the data set cannot be read`);
  const identity = {
    sopClassUid: uid(scan, SOP_CLASS),
    sopInstanceUid: uid(scan, SOP_INSTANCE),
    studyInstanceUid: uid(scan, STUDY),
    seriesInstanceUid: uid(scan, SERIES),
  };
  agree(SOP_INSTANCE, declared.sopInstanceUid, identity.sopInstanceUid);
  agree(SOP_CLASS, declared.sopClassUid, identity.sopClassUid);
  return identity;
}

function uid(scan: Scan, tag: string): string {
  const text = scanUid(scan, tag);
  if (text === undefined) throw new Failure('invalid', `${label(tag)} is missing`, { attribute: label(tag) });
  if (text === '') throw new Failure('invalid', `${label(tag)} is empty`, { attribute: label(tag) });
  if (!isUid(text))
    throw new Failure('invalid', `${label(tag)} is not a UID: digits and dots, at most 64 characters`, {
      attribute: label(tag),
    });
  return text;
}

function agree(tag: string, declared: string, found: string): void {
  if (declared !== found)
    throw new Failure(
      'mismatch',
      `${label(tag)} is ${found} in the data set and ${declared} in what announced it`,
      { attribute: label(tag) },
    );
}
