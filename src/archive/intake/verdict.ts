/**
 * Whether an object whose sender waits for it is kept (CONFLICT_POLICY=refuse): as the index decides, or, when only its
 * transfer syntax may differ, as the comparison behind the index does. Asked by settler.ts, which tells the journal;
 * reception.ts answers the sender.
 */
import type { Database } from '../database/database.ts';
import type { IncomingObject } from '../incoming-object.ts';
import type { Work } from './settling-segment.ts';

type RecordWork = Extract<Work, { record: unknown }>;

export interface Verdicts {
  /** The comparison decides on it. */
  await(work: RecordWork, object: IncomingObject): void;
  /** Tells the journals what has been decided since. */
  look(): Promise<void>;
  readonly pending: number;
}

/** No sender waits longer (reception.ts); one that was answered sends again, and finds what was decided. */
const LIMIT_MS = 60_000;
const LOOK_EVERY_MS = 100;

export function createVerdicts(database: Database): Verdicts {
  /** By version: the same object may come over several associations before the comparison is made. */
  const waiting = new Map<string, { work: RecordWork; since: number }[]>();
  let lookedAt = 0;
  return {
    await(work, object) {
      const version = `${object.sopInstanceUid} ${object.contentHash.toString('hex')}`;
      const waiters = waiting.get(version) ?? [];
      waiting.set(version, [...waiters, { work, since: Date.now() }]);
    },
    async look() {
      if (waiting.size === 0 || Date.now() - lookedAt < LOOK_EVERY_MS) return;
      lookedAt = Date.now();
      const versions = [...waiting.keys()];
      const { rows } = await database.query<{ version: string; role: string }>(
        `select o.sop_uid || ' ' || encode(o.content_hash, 'hex') as version, o.role
         from object o where (o.sop_uid, o.content_hash) in (
           select split_part(v, ' ', 1), decode(split_part(v, ' ', 2), 'hex') from unnest($1::text[]) as u(v))`,
        [versions],
      );
      const roles = new Map(rows.map(({ version, role }) => [version, role]));
      for (const [version, waiters] of waiting) {
        const role = roles.get(version);
        const undecided = role === 'undecided';
        const left = undecided ? waiters.filter(({ since }) => Date.now() - since < LIMIT_MS) : [];
        if (left.length > 0) waiting.set(version, left);
        else waiting.delete(version);
        if (undecided) continue;
        for (const { work } of waiters) work.segment.judge(work, role === undefined ? 'refused' : 'kept');
      }
    },
    get pending() {
      return waiting.size;
    },
  };
}
