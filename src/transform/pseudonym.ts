/**
 * Who a patient, and what a UID, becomes when de-identified: by a keyed hash (HMAC-SHA-256), so the same original is
 * the same again in every study, series and process that has the key, and nobody without it can try candidates.
 * Called by de-identify.ts; the key is the setting DEIDENTIFY_KEY and stands in no rule.
 */
import { createHmac } from 'node:crypto';

export interface PatientPseudonym {
  /** Patient ID, and name. */
  readonly id: string;
  /** Days by which every date of the patient goes back. */
  readonly days: number;
}

/** Ten years: far enough to say nothing of the season, near enough to stay a plausible date. */
const MOST_DAYS = 3652;
const DAY_MS = 86_400_000;

/** @param identity of the patient: ID and issuer, or the study for a patient without an ID, who is joined to no other */
export function patientPseudonym(key: string, identity: string): PatientPseudonym {
  const digest = keyed(key, 'patient', identity);
  return {
    id: `ANON-${digest.toString('hex', 0, 8).toUpperCase()}`,
    days: 1 + (digest.readUInt32BE(12) % MOST_DAYS),
  };
}

/** A UID of the form that anybody may make, 2.25 and a UUID as a number (PS3.5 B.2). */
export function replacedUid(key: string, uid: string): string {
  const bytes = keyed(key, 'uid', uid).subarray(0, 16);
  // RFC 9562: version 8 (made by a rule of one's own), variant 10.
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return `2.25.${BigInt(`0x${bytes.toString('hex')}`)}`;
}

/** @returns a DA or DT so many days earlier; undefined for one without a whole, real date in it */
export function shiftedDate(text: string, days: number): string | undefined {
  const [, date, rest] = /^(\d{8})(\d{0,6}(?:\.\d{1,6})?(?:[+-]\d{4})?)$/.exec(text) ?? [];
  if (date === undefined) return undefined;
  const [year, month, day] = [date.slice(0, 4), date.slice(4, 6), date.slice(6)].map(Number);
  const moment = new Date(0);
  moment.setUTCFullYear(year!, month! - 1, day!);
  if (moment.getUTCMonth() !== month! - 1 || moment.getUTCDate() !== day) return undefined;
  const shifted = new Date(moment.getTime() - days * DAY_MS);
  if (shifted.getUTCFullYear() < 1) return undefined;
  return `${shifted.toISOString().slice(0, 10).replaceAll('-', '')}${rest}`;
}

function keyed(key: string, what: string, value: string): Buffer {
  return createHmac('sha256', key).update(what).update('\0').update(value).digest();
}
