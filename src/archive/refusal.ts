/**
 * What was refused and why, in whole sentences: 64 characters of Error Comment are not enough for the person who
 * must tell a vendor what is wrong. The same fault of the same sender is one row with a count. Kept for 90 days.
 * Written by refusal-log.ts, listed at /api/refusals.
 */
import { createHash } from 'node:crypto';
import type { RefusalCode, Refused } from '../dimse/refusal-code.ts';
import type { Queryable } from './database/database.ts';

export interface Refusal {
  /** 'request' and 'part' are STOW-RS; the others of an association. */
  what: Refused;
  code: RefusalCode;
  callingAe?: string | undefined;
  calledAe?: string | undefined;
  address?: string | undefined;
  sopClassUid?: string | undefined;
  sopUid?: string | undefined;
  transferSyntaxUid?: string | undefined;
  /** DIMSE status or FailureReason */
  status?: number | undefined;
  /** A sentence that quotes no patient. */
  reason: string;
  /** What the sender was told, in the Standard's words. */
  answer?: string | undefined;
  /** Codes of the errors behind it, such as ENOSPC. */
  cause?: string | undefined;
}

/** The same refusal `times` times. */
export interface CountedRefusal {
  refusal: Refusal;
  times: number;
  /** ISO 8601 */
  firstAt: string;
  lastAt: string;
}

const MOST_WORDS = 500;
const MOST_UID = 64;
/** Of one address, and of all: the oldest go. A sender that invents a new AE title each time pushes out its own rows. */
const MOST_ROWS_OF_SENDER = 1000;
const MOST_ROWS = 20_000;

/** Fits every column: no control characters, which Postgres and people's terminals do not take, and no endless text. */
export function fitted(refusal: Refusal): Refusal {
  const cut = (text: string | undefined, most: number) => text?.replace(/\p{Cc}/gu, '?').slice(0, most);
  return {
    ...refusal,
    callingAe: cut(refusal.callingAe, MOST_UID),
    calledAe: cut(refusal.calledAe, MOST_UID),
    address: cut(refusal.address, MOST_UID),
    sopClassUid: cut(refusal.sopClassUid, MOST_UID),
    sopUid: cut(refusal.sopUid, MOST_UID),
    transferSyntaxUid: cut(refusal.transferSyntaxUid, MOST_UID),
    reason: cut(refusal.reason, MOST_WORDS) ?? '',
    answer: cut(refusal.answer, MOST_WORDS),
    cause: cut(refusal.cause, MOST_WORDS),
  };
}

/** Of the sender and the fault. Lengths, positions and UIDs in the sentence differ from object to object: left out. */
export function fingerprint(refusal: Refusal): Buffer {
  const { what, code, callingAe, calledAe, address, sopClassUid, transferSyntaxUid, status } = refusal;
  const fault = refusal.reason.replace(
    /(\([0-9A-F]{4},[0-9A-F]{4}\))|\d[\d.]*/gi,
    (_, tag?: string) => tag ?? '#',
  );
  const parts = [what, code, callingAe, calledAe, address, sopClassUid, transferSyntaxUid, status, fault];
  return createHash('sha256').update(JSON.stringify(parts)).digest();
}

/**
 * Adds to the rows that are there, and keeps the table within its bounds. Of a repeated refusal the last object and
 * sentence stay. A commit whose answer was lost is counted twice.
 */
export async function writeRefusals(db: Queryable, counted: readonly CountedRefusal[]): Promise<void> {
  // In one order for all nodes, or two of them wait for each other.
  const rows = counted
    .map(({ refusal, ...rest }) => ({
      ...refusal,
      ...rest,
      print: fingerprint(refusal).toString('hex'),
    }))
    .sort((a, b) => (a.print < b.print ? -1 : 1));
  await db.query(
    `insert into refusal (what, code, calling_ae, called_ae, address, sop_class, sop_uid, transfer_syntax, status,
       reason, answer, cause, times, first_at, last_at, fingerprint)
     select what, code, "callingAe", "calledAe", address, "sopClassUid", "sopUid", "transferSyntaxUid", status,
       reason, answer, cause, times, "firstAt", "lastAt", decode(print, 'hex')
     from json_to_recordset($1) as r(what text, code text, "callingAe" text, "calledAe" text, address text,
       "sopClassUid" text, "sopUid" text, "transferSyntaxUid" text, status integer, reason text, answer text,
       cause text, times bigint, "firstAt" timestamptz, "lastAt" timestamptz, print text)
     on conflict (fingerprint) do update set times = refusal.times + excluded.times,
       last_at = greatest(refusal.last_at, excluded.last_at), sop_uid = excluded.sop_uid, reason = excluded.reason,
       answer = excluded.answer, cause = excluded.cause`,
    [JSON.stringify(rows)],
  );
  for (const address of new Set(rows.map((row) => row.address ?? null))) {
    await db.query(
      `delete from refusal where id in (select id from refusal where address is not distinct from $1
         order by last_at desc, id desc offset ${MOST_ROWS_OF_SENDER})`,
      [address],
    );
  }
  await db.query(
    `delete from refusal where id in (select id from refusal order by last_at desc, id desc offset ${MOST_ROWS})`,
  );
}

/** @returns how many old refusals were dropped */
export async function sweepRefusals(db: Queryable): Promise<number> {
  const result = await db.query("delete from refusal where last_at < now() - interval '90 days'");
  return result.rowCount ?? 0;
}
