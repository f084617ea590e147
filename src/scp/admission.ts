/**
 * Who may open an association: a pure decision on the request, the caller and the site's policy (PS3.8 9.3.4).
 * Asked by inbound.ts for every A-ASSOCIATE-RQ; the sentence goes to the log and to /api/refusals.
 * How many may be open at once is counted by association-slots.ts after this decision.
 */

import { isWithin, plainAddress } from '../dimse/address-range.ts';
import type { AssociationRequest } from '../dimse/association-request.ts';
import type { Rejection } from '../dimse/inbound-association.ts';
import { rejectResult, rejectSource } from '../dimse/pdu.ts';
import type { CertificateRule, KnownAe } from './known-ae.ts';

export interface AdmissionPolicy {
  aeTitle: string;
  /** What becomes of a calling AE title that is in no list: DICOM_PROMISCUOUS, or a listener on loopback without a list. */
  strangers: 'accept' | 'refuse';
  knownAes: readonly KnownAe[];
  maxAssociations: number;
  maxAssociationsPerAe: number;
  privateSopClasses: 'accept' | 'refuse';
}

export interface ClientCertificate {
  /** Signed by an authority of DICOM_TLS_CA and in its time. */
  verified: boolean;
  commonName: string;
  /** As DNS:name, IP Address:10.0.0.5, URI:…, email:… without these prefixes. */
  subjectAltNames: readonly string[];
  /** SHA-256, 64 upper-case hexadecimal digits. */
  fingerprint: string;
}

/** What the connection proves of its caller. */
export interface Caller {
  address: string;
  /** Undefined on the plain port. */
  tls: { certificate: ClientCertificate | undefined } | undefined;
}

/** Why an association was refused, as a label of few values. */
export type AdmissionRefusal = 'called-ae' | 'calling-ae' | 'address' | 'certificate' | 'limit';

export interface Admitted {
  /** At once, of this AE title. */
  maxAssociations: number;
  privateSopClasses: boolean;
}

export type AdmissionDecision = { accept: Admitted } | { reject: Rejection & { code: AdmissionRefusal } };

// PS3.8 Table 9-21
const CALLING_NOT_RECOGNIZED = 3;
const CALLED_NOT_RECOGNIZED = 7;
const LOCAL_LIMIT_EXCEEDED = 2;

export function admit(
  request: Pick<AssociationRequest, 'callingAeTitle' | 'calledAeTitle'>,
  caller: Caller,
  policy: AdmissionPolicy,
): AdmissionDecision {
  if (request.calledAeTitle !== policy.aeTitle)
    return unrecognized(
      'called-ae',
      `the called AE title is ${request.calledAeTitle.replace(/\p{Cc}/gu, '?')}, ours is ${policy.aeTitle} (AE_TITLE)`,
    );
  // It is written to the index and into the list of refusals, and neither takes a NUL.
  if (/\p{Cc}/u.test(request.callingAeTitle))
    return unrecognized('calling-ae', 'the calling AE title holds control characters (PS3.5 6.2, VR AE)');
  const who = `the calling AE title ${request.callingAeTitle} at ${plainAddress(caller.address)}`;
  const entries = policy.knownAes.filter(({ aeTitle }) => aeTitle === request.callingAeTitle);
  if (entries.length === 0) {
    if (policy.strangers === 'accept') return { accept: admitted(undefined, policy) };
    return unrecognized('calling-ae', `${who} is not known (/api/aes, KNOWN_AES)`);
  }
  // Rules that somebody wrote for a title hold for it even where strangers may call.
  const misfits: Misfit[] = [];
  for (const entry of entries) {
    const misfit = misfitOf(entry, caller);
    if (misfit === undefined) return { accept: admitted(entry, policy) };
    misfits.push(misfit);
  }
  const nearest = misfits.reduce((best, one) => (one.step > best.step ? one : best));
  return unrecognized(nearest.code, `${who} ${nearest.words} (${nearest.entry})`);
}

/** For a caller who is known and finds no place: the limit is ours and will pass. */
export function overLimit(
  which: 'total' | 'per-ae',
  limit: number,
  callingAeTitle: string,
): Extract<AdmissionDecision, { reject: unknown }> {
  return {
    reject: {
      result: rejectResult.transient,
      source: rejectSource.presentation,
      reason: LOCAL_LIMIT_EXCEEDED,
      code: 'limit',
      sentence:
        which === 'total'
          ? `${limit === 1 ? '1 association is' : `${limit} associations are`} open, which is the limit (MAX_ASSOCIATIONS)`
          : `${callingAeTitle} has ${limit} ${limit === 1 ? 'association' : 'associations'} open, which is its limit (maxAssociations at /api/aes, MAX_ASSOCIATIONS_PER_AE)`,
    },
  };
}

interface Misfit {
  /** How far the caller came through the entry's rules: of several entries the nearest is spoken of. */
  step: number;
  code: AdmissionRefusal;
  words: string;
  entry: string;
}

function misfitOf(ae: KnownAe, caller: Caller): Misfit | undefined {
  const entry = ae.name === 'KNOWN_AES' ? 'KNOWN_AES' : `/api/aes/${ae.name}`;
  const misfit = ruleMisfit(ae, caller, entry);
  if (ae.enabled) return misfit;
  // The only thing in the caller's way, or the least that is to be said of the entry.
  return { step: misfit ? 0 : 4, code: 'calling-ae', words: 'is known and disabled', entry };
}

function ruleMisfit(ae: KnownAe, caller: Caller, entry: string): Misfit | undefined {
  if (!isWithin(caller.address, ae.addresses))
    return { step: 1, code: 'address', words: 'is not known at this address', entry };
  if (ae.tls === 'required' && !caller.tls)
    return { step: 2, code: 'certificate', words: 'must come by TLS (DICOM_TLS_PORT)', entry };
  const words = ae.certificate && certificateMisfit(ae.certificate, caller.tls?.certificate);
  return words === undefined ? undefined : { step: 3, code: 'certificate', words, entry };
}

function certificateMisfit(rule: CertificateRule, given: ClientCertificate | undefined): string | undefined {
  if (!given) return 'shows no client certificate, and one is asked for';
  if (rule.fingerprint !== undefined && rule.fingerprint !== given.fingerprint)
    return 'shows a client certificate with another fingerprint';
  // A fingerprint is the certificate itself; names are worth what the authority behind them is worth.
  if (rule.fingerprint === undefined && !given.verified)
    return 'shows a client certificate that no authority of DICOM_TLS_CA has signed';
  if (rule.commonName !== undefined && rule.commonName !== given.commonName)
    return 'shows a client certificate with another subject common name';
  if (rule.subjectAltName !== undefined && !given.subjectAltNames.includes(rule.subjectAltName))
    return 'shows a client certificate without the subject alternative name that is asked for';
  return undefined;
}

function admitted(ae: KnownAe | undefined, policy: AdmissionPolicy): Admitted {
  return {
    maxAssociations: ae?.maxAssociations ?? policy.maxAssociationsPerAe,
    privateSopClasses: (ae?.privateSopClasses ?? policy.privateSopClasses) === 'accept',
  };
}

function unrecognized(
  code: AdmissionRefusal,
  sentence: string,
): Extract<AdmissionDecision, { reject: unknown }> {
  return {
    reject: {
      result: rejectResult.permanent,
      source: rejectSource.serviceUser,
      reason: code === 'called-ae' ? CALLED_NOT_RECOGNIZED : CALLING_NOT_RECOGNIZED,
      code,
      sentence,
    },
  };
}
