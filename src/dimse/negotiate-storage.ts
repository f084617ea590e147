/**
 * What a Storage SCP accepts: Verification, Storage Commitment, and every storage SOP class in the first proposed
 * transfer syntax that we can keep (PS3.4 B.4.1.1). Pure; scp gives it to inbound-association.ts, or wraps its own policy around it.
 */
import { isStorageSopClass, STORAGE_COMMITMENT, VERIFICATION } from '../dicom/sop-class.ts';
import { EXPLICIT_LE, IMPLICIT_LE, isKnownTransferSyntax } from '../dicom/transfer-syntax.ts';
import type { PresentationContextRequest } from './association-request.ts';

/** A transfer syntax UID accepts the context; the others are results 3 and 4 of PS3.8 Table 9-18. */
export type ContextAnswer = string | 'refuse-abstract-syntax' | 'refuse-transfer-syntaxes';

export interface StoragePolicy {
  /** Accept SOP classes outside the Standard's root as storage: vendors keep raw data in such. Default true. */
  privateSopClasses?: boolean;
}

const standardRoot = '1.2.840.10008.';
const storageRoot = '1.2.840.10008.5.1.4.1.1.';
/** Protocol approval and inventories: query and retrieve services that live under the storage root (PS3.6 Table A-1). */
const notStorage = ['1.2.840.10008.5.1.4.1.1.200.', '1.2.840.10008.5.1.4.1.1.201.'];

export function negotiateStorage(
  { abstractSyntax, transferSyntaxes }: PresentationContextRequest,
  policy: StoragePolicy = {},
): ContextAnswer {
  if (abstractSyntax === VERIFICATION || abstractSyntax === STORAGE_COMMITMENT) {
    const native = transferSyntaxes.find((uid) => uid === EXPLICIT_LE || uid === IMPLICIT_LE);
    return native ?? 'refuse-transfer-syntaxes';
  }
  if (!isStorage(abstractSyntax, policy)) return 'refuse-abstract-syntax';
  return transferSyntaxes.find(isKnownTransferSyntax) ?? 'refuse-transfer-syntaxes';
}

function isStorage(uid: string, { privateSopClasses = true }: StoragePolicy): boolean {
  if (!uid.startsWith(standardRoot)) return privateSopClasses;
  if (isStorageSopClass(uid)) return true;
  // Classes younger than our table.
  return uid.startsWith(storageRoot) && !notStorage.some((root) => uid.startsWith(root));
}
