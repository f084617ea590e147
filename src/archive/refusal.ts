/**
 * What was refused and why, in whole sentences: 64 characters of Error Comment are not enough for the person who
 * must tell a vendor what is wrong. Written by the doors that refuse, listed at /api/refusals. Kept for 90 days.
 */
import type { Queryable } from './database/database.ts';

export interface Refusal {
  what: 'association' | 'object' | 'part';
  callingAe?: string;
  calledAe?: string;
  address?: string;
  sopUid?: string;
  /** DIMSE status or FailureReason */
  status?: number;
  reason: string;
}

const MOST = 500;

export async function recordRefusal(db: Queryable, refusal: Refusal): Promise<void> {
  await db.query(
    `insert into refusal (what, calling_ae, called_ae, address, sop_uid, status, reason)
     values ($1, $2, $3, $4, $5, $6, $7)`,
    [
      refusal.what,
      refusal.callingAe ?? null,
      refusal.calledAe ?? null,
      refusal.address ?? null,
      refusal.sopUid?.slice(0, 64) ?? null,
      refusal.status ?? null,
      refusal.reason.slice(0, MOST),
    ],
  );
}

/** @returns how many old refusals were dropped */
export async function sweepRefusals(db: Queryable): Promise<number> {
  const result = await db.query("delete from refusal where at < now() - interval '90 days'");
  return result.rowCount ?? 0;
}
