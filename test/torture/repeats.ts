/**
 * Counts what a kill may cost: a peer sees again only the instances of a delivery whose outcome was not yet written when
 * the program that sent them was killed, and those are 8 at most. Looked at for each delivery and each kill, from
 * outside: what the ledger says right after it, and what the peers were asked.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from '../../src/archive/database/database.ts';
import type { PacsEvent } from '../forwarding/scripted-pacs.ts';

/** Of one delivery, at one kill. */
const MOST_REPEATED = 8;

/**
 * What a program had sent when it was killed is on its way to the peer for a moment yet. Nobody else works its
 * deliveries meanwhile: a program that is started needs longer to claim one, and another has to wait for the lease.
 */
const UNDER_WAY_MS = 400;

export interface WatchedPeer {
  readonly events: readonly PacsEvent[];
  /** Breaks off and refuses for now, as it likes: only what it has answered for good must not be asked again. */
  readonly moody: boolean;
}

export interface Repeats {
  /** To be called when the program over this folder was killed and is gone, before it is started again. */
  killed(dataFolder: string): Promise<void>;
  /** Of kills, those that left a delivery in the middle. */
  readonly amid: number;
  /** C-STOREs that were repeated so far, in all. */
  count(): number;
  /** @returns a sentence for each delivery that a kill cost too much, and each instance repeated for nothing */
  findings(): string[];
}

/** A delivery that was being sent when its program was killed. */
interface CutOff {
  readonly kill: number;
  readonly delivery: number;
  readonly destination: string;
  readonly claimedAt: Date;
  /** What comes later is not of the program that was killed. */
  readonly until: Date;
  /** Instances that the ledger did not know an outcome of. */
  readonly unwritten: ReadonlySet<string>;
}

export function watchRepeats(database: Database, peers: Readonly<Record<string, WatchedPeer>>): Repeats {
  const cutOff: CutOff[] = [];
  let kills = 0;
  let amid = 0;

  /** What one of them had been asked, and answered for good where it is moody, and the ledger did not know. */
  function repeatable({ destination, claimedAt, until, unwritten }: CutOff): Set<string> {
    const { events, moody } = peers[destination]!;
    const found = new Set<string>();
    for (const event of events)
      if (
        event.sop !== undefined &&
        unwritten.has(event.sop) &&
        event.at >= claimedAt &&
        event.at < until &&
        (!moody || isForGood(event))
      )
        found.add(event.sop);
    return found;
  }

  return {
    async killed(dataFolder) {
      const node = (await readFile(join(dataFolder, 'node'), 'utf8')).trim();
      const { rows } = await database.query<{
        delivery: number;
        destination: string;
        claimedAt: Date;
        unwritten: string[];
      }>(
        `select d.id as delivery, d.destination, d.claimed_at as "claimedAt",
           array(select sop_uid from delivery_instance where delivery = d.id and state = 'owed') as unwritten
         from delivery d where d.state = 'sending' and d.lease_owner = $1`,
        [node],
      );
      kills++;
      if (rows.length > 0) amid++;
      for (const row of rows)
        if (peers[row.destination])
          cutOff.push({
            ...row,
            kill: kills,
            until: new Date(Date.now() + UNDER_WAY_MS),
            unwritten: new Set(row.unwritten),
          });
    },
    get amid() {
      return amid;
    },
    count() {
      let repeats = 0;
      for (const peer of Object.values(peers))
        for (const times of timesAsked(peer).values()) repeats += times - 1;
      return repeats;
    },
    findings() {
      const found: string[] = [];
      const allowed = new Map<string, number>();
      for (const one of cutOff) {
        const again = repeatable(one);
        for (const sop of again) {
          const key = `${one.destination} ${sop}`;
          allowed.set(key, (allowed.get(key) ?? 0) + 1);
        }
        if (again.size > MOST_REPEATED)
          found.push(
            `kill ${one.kill} left ${again.size} instances of delivery ${one.delivery} to ${one.destination} sent and not written`,
          );
      }
      for (const [name, peer] of Object.entries(peers))
        for (const [sop, times] of timesAsked(peer)) {
          const kills = allowed.get(`${name} ${sop}`) ?? 0;
          if (times > 1 + kills)
            found.push(`${name} was asked ${times} times for ${sop}, which ${kills} kills explain`);
        }
      return found;
    },
  };
}

/** Of each instance; at a moody one, only what was answered for good. */
function timesAsked({ events, moody }: WatchedPeer): Map<string, number> {
  const times = new Map<string, number>();
  for (const event of events)
    if (event.sop !== undefined && (!moody || isForGood(event)))
      times.set(event.sop, (times.get(event.sop) ?? 0) + 1);
  return times;
}

/** Success, a warning, or a refusal that another try does not change (0xA7xx is for now). */
function isForGood({ status }: PacsEvent): boolean {
  return status !== undefined && status >> 8 !== 0xa7 && status !== 0x0110;
}
