/**
 * One record for every exit of patient data (45 CFR 164.528 asks for an accounting of disclosures).
 * Called by every door that lets data out, before or in the same breath as the bytes leave.
 * The table is append-only; nothing here holds attribute values, only UIDs, counts and names of recipients.
 */
import type { Queryable } from './database/database.ts';

export interface Disclosure {
  channel: 'qido' | 'wado' | 'rendered' | 'original' | 'dimse' | 'stow' | 'folder' | 'fhir' | 'api';
  /** User, AE title or URL host that received the data. */
  recipient: string;
  address?: string;
  studyUid?: string;
  seriesUid?: string;
  sopUid?: string;
  instances?: number;
  detail?: Record<string, unknown>;
}

/** @throws Failure 'unavailable': what cannot be recorded must not leave */
export async function recordDisclosure(db: Queryable, disclosure: Disclosure): Promise<void> {
  await db.query(
    `insert into disclosure (channel, recipient, address, study_uid, series_uid, sop_uid, instances, detail)
     values ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [
      disclosure.channel,
      disclosure.recipient,
      disclosure.address ?? null,
      disclosure.studyUid ?? null,
      disclosure.seriesUid ?? null,
      disclosure.sopUid ?? null,
      disclosure.instances ?? null,
      disclosure.detail === undefined ? null : JSON.stringify(disclosure.detail),
    ],
  );
}
