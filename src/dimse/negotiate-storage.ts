/**
 * What a Storage SCP accepts: Verification and every storage SOP class, each in the first proposed transfer syntax
 * that we can keep (PS3.4 B.4.1.1). Pure; scp gives it to inbound-association.ts, or wraps its own policy around it.
 */
import { EXPLICIT_LE, IMPLICIT_LE, isKnownTransferSyntax } from '../dicom/transfer-syntax.ts';

export const VERIFICATION = '1.2.840.10008.1.1';

export interface ProposedContext {
  id: number;
  abstractSyntax: string;
  /** In the sender's order of preference. */
  transferSyntaxes: string[];
}

/** A transfer syntax UID accepts the context; the others are results 3 and 4 of PS3.8 Table 9-18. */
export type ContextAnswer = string | 'refuse-abstract-syntax' | 'refuse-transfer-syntaxes';

export interface StoragePolicy {
  /** Accept SOP classes outside the Standard's root as storage: vendors keep raw data in such. Default true. */
  privateSopClasses?: boolean;
}

const standardRoot = '1.2.840.10008.';
const storageRoot = '1.2.840.10008.5.1.4.1.1.';

/** Under the storage root, yet query, retrieve or creation services (PS3.6 Table A-1). */
const notStorage = [
  '1.2.840.10008.5.1.4.1.1.200.4', // Protocol Approval FIND
  '1.2.840.10008.5.1.4.1.1.200.5', // Protocol Approval MOVE
  '1.2.840.10008.5.1.4.1.1.200.6', // Protocol Approval GET
  '1.2.840.10008.5.1.4.1.1.201.1.1', // Repository Query
  '1.2.840.10008.5.1.4.1.1.201.1.2', // Inventory Creation
  '1.2.840.10008.5.1.4.1.1.201.2', // Inventory FIND
  '1.2.840.10008.5.1.4.1.1.201.3', // Inventory MOVE
  '1.2.840.10008.5.1.4.1.1.201.4', // Inventory GET
];

/** Storage outside the storage root (PS3.6 Table A-1). */
const otherStorage = [
  '1.2.840.10008.5.1.1.27', // Stored Print (retired)
  '1.2.840.10008.5.1.1.29', // Hardcopy Grayscale Image (retired)
  '1.2.840.10008.5.1.1.30', // Hardcopy Color Image (retired)
  '1.2.840.10008.5.1.4.34.1', // RT Beams Delivery Instruction, trial (retired)
  '1.2.840.10008.5.1.4.34.7', // RT Beams Delivery Instruction
  '1.2.840.10008.5.1.4.34.10', // RT Brachy Application Setup Delivery Instruction
  '1.2.840.10008.5.1.4.38.1', // Hanging Protocol
  '1.2.840.10008.5.1.4.39.1', // Color Palette
  '1.2.840.10008.5.1.4.43.1', // Generic Implant Template
  '1.2.840.10008.5.1.4.44.1', // Implant Assembly Template
  '1.2.840.10008.5.1.4.45.1', // Implant Template Group
];

export function isStorageSopClass(uid: string, { privateSopClasses = true }: StoragePolicy = {}): boolean {
  if (!uid.startsWith(standardRoot)) return privateSopClasses;
  if (uid.startsWith(storageRoot)) return !notStorage.includes(uid);
  return otherStorage.includes(uid);
}

export function negotiateStorage(context: ProposedContext, policy: StoragePolicy = {}): ContextAnswer {
  const { abstractSyntax, transferSyntaxes } = context;
  if (abstractSyntax === VERIFICATION) {
    const native = transferSyntaxes.find((uid) => uid === EXPLICIT_LE || uid === IMPLICIT_LE);
    return native ?? 'refuse-transfer-syntaxes';
  }
  if (!isStorageSopClass(abstractSyntax, policy)) return 'refuse-abstract-syntax';
  return transferSyntaxes.find(isKnownTransferSyntax) ?? 'refuse-transfer-syntaxes';
}
