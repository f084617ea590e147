/**
 * Where an object lies in the store: an immutable key made of its UIDs and its content hash.
 * Made by the settler, kept in the object's row, never derived again from anything else.
 * One folder per series keeps the folders to sync few and the tree readable to an administrator.
 */
import { createHash } from 'node:crypto';

export interface KeyParts {
  studyInstanceUid: string;
  seriesInstanceUid: string;
  sopInstanceUid: string;
  contentHash: Buffer;
}

/** The UIDs have passed isUid (dicom/uid.ts): digits and dots only, so no part can leave its folder. */
export function objectKey(parts: KeyParts): string {
  const shard = createHash('sha256').update(parts.studyInstanceUid).digest('hex').slice(0, 2);
  const version = parts.contentHash.toString('hex').slice(0, 32);
  return `${shard}/${parts.studyInstanceUid}/${parts.seriesInstanceUid}/${parts.sopInstanceUid}_${version}.dcm`;
}
