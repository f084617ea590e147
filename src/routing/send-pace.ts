/**
 * When the next instance, or the next bytes, may leave for a destination with a send rate: one place in Postgres for all
 * associations and processes, so that two of them are no faster than one. Asked by forwarding/pace.ts.
 */
import type { Queryable } from '../archive/database/database.ts';

/** What was not used for a while is not saved up beyond this. */
const BURST_MS = 1000;

/**
 * Takes the next `costMs` of the destination's time.
 * @returns milliseconds until it begins; 0 for now
 */
export async function takePace(
  db: Queryable,
  destination: string,
  what: 'instances' | 'bytes',
  costMs: number,
): Promise<number> {
  const { rows } = await db.query<{ waitMs: number }>(
    `insert into send_pace as p (destination, what, free_at)
     values ($1, $2, clock_timestamp() + make_interval(secs => ($3::float8 - ${BURST_MS}) / 1000))
     on conflict (destination, what) do update set
       free_at = greatest(p.free_at, clock_timestamp() - make_interval(secs => ${BURST_MS} / 1000.0))
         + make_interval(secs => $3::float8 / 1000)
     returning (extract(epoch from p.free_at - clock_timestamp()) * 1000 - $3)::float8 as "waitMs"`,
    [destination, what, costMs],
  );
  return Math.max(0, rows[0]?.waitMs ?? 0);
}

/** New settings are not held to what the old ones have taken ahead. */
export async function forgetPace(tx: Queryable, destination: string): Promise<void> {
  await tx.query('delete from send_pace where destination = $1', [destination]);
}
