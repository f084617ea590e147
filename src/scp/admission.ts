/**
 * Who may open an association: a pure decision on the request and the site's policy (PS3.8 9.3.4).
 * Asked by listener.ts for every A-ASSOCIATE-RQ; the sentence goes to the log and to /api/refusals.
 */
import type { AssociationRequest } from '../dimse/association-request.ts';
import type { Admission } from '../dimse/inbound-association.ts';
import { rejectResult, rejectSource } from '../dimse/pdu.ts';

export interface AdmissionPolicy {
  aeTitle: string;
  /** Accept any calling AE title. */
  promiscuous: boolean;
  /** Modalities that may call; empty on loopback means anybody there. */
  knownAes: readonly { aeTitle: string; address: string | undefined }[];
  /** All of the process; counted by the caller. */
  maxAssociations: number;
}

// PS3.8 Table 9-21
const CALLING_NOT_RECOGNIZED = 3;
const CALLED_NOT_RECOGNIZED = 7;
const LOCAL_LIMIT_EXCEEDED = 2;

/** @param open associations open now, this one not counted */
export function admit(request: AssociationRequest, policy: AdmissionPolicy, open: number): Admission {
  if (open >= policy.maxAssociations)
    return {
      reject: {
        result: rejectResult.transient,
        source: rejectSource.presentation,
        reason: LOCAL_LIMIT_EXCEEDED,
        sentence: `${open} associations are open, which is the limit (MAX_ASSOCIATIONS)`,
      },
    };
  if (request.calledAeTitle !== policy.aeTitle)
    return {
      reject: {
        result: rejectResult.permanent,
        source: rejectSource.serviceUser,
        reason: CALLED_NOT_RECOGNIZED,
        sentence: `the called AE title is ${request.calledAeTitle.replace(/\p{Cc}/gu, '?')}, ours is ${policy.aeTitle} (AE_TITLE)`,
      },
    };
  if (!isPrintable(request.callingAeTitle))
    return {
      reject: {
        result: rejectResult.permanent,
        source: rejectSource.serviceUser,
        reason: CALLING_NOT_RECOGNIZED,
        sentence: 'the calling AE title holds control characters (PS3.5 6.2, VR AE)',
      },
    };
  if (!isKnown(request, policy))
    return {
      reject: {
        result: rejectResult.permanent,
        source: rejectSource.serviceUser,
        reason: CALLING_NOT_RECOGNIZED,
        sentence: `the calling AE title ${request.callingAeTitle} at ${request.remoteAddress} is not in KNOWN_AES`,
      },
    };
  return { accept: true };
}

/** It is written to the index and into File Meta, and neither takes a NUL. */
function isPrintable(text: string): boolean {
  return !/\p{Cc}/u.test(text);
}

function isKnown(request: AssociationRequest, { promiscuous, knownAes }: AdmissionPolicy): boolean {
  // Without a list we listen on loopback alone (config.ts): whoever calls is on this machine.
  if (promiscuous || knownAes.length === 0) return true;
  const from = request.remoteAddress.replace(/^::ffff:/, '');
  return knownAes.some(
    ({ aeTitle, address }) =>
      aeTitle === request.callingAeTitle && (address === undefined || address === from),
  );
}
