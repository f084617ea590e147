/**
 * Holds an attempt to its destination's send rate: asks Postgres for the next stretch of time, a quarter of a second at
 * least so that a fast rate costs few questions, and uses it up before it asks again.
 * Made by send-delivery.ts, one per attempt; asked by the ways of sending before each instance and each piece of bytes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Queryable } from '../archive/database/database.ts';
import { takePace } from '../routing/send-pace.ts';
import type { SendRate } from '../routing/sending-settings.ts';

export interface Pace {
  /** Takes the time of these instances. @returns how long to wait before the first of them */
  instances(count: number): Promise<number>;
  /** The bytes as they may leave. Ends waiting, and goes on unpaced, when the attempt ends. */
  bytes(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
  /** Waits so long, or until the attempt ends. */
  wait(ms: number): Promise<void>;
}

const LEAST_TAKE_MS = 250;

export function createPace(
  database: Queryable,
  destination: string,
  rate: SendRate | undefined,
  ending: AbortSignal,
): Pace {
  const left = { instances: 0, bytes: 0 };

  async function take(what: 'instances' | 'bytes', costMs: number): Promise<number> {
    if (left[what] >= costMs) {
      left[what] -= costMs;
      return 0;
    }
    const taken = Math.max(costMs, LEAST_TAKE_MS);
    const waitMs = await takePace(database, destination, what, taken);
    left[what] = taken - costMs;
    return waitMs;
  }

  async function wait(ms: number): Promise<void> {
    if (ms <= 0 || ending.aborted) return;
    try {
      await sleep(ms, undefined, { signal: ending });
    } catch (thrown) {
      if (!ending.aborted) throw thrown;
    }
  }

  async function* paced(source: AsyncIterable<Uint8Array>, perSecond: number): AsyncGenerator<Uint8Array> {
    // A second's worth at most: the peer sees something move.
    const slice = Math.max(4096, Math.floor(perSecond));
    for await (const chunk of source) {
      for (let at = 0; at < chunk.length; at += slice) {
        const piece = chunk.subarray(at, at + slice);
        if (!ending.aborted) await wait(await take('bytes', (piece.length / perSecond) * 1000));
        yield piece;
      }
    }
  }

  return {
    instances: async (count) =>
      rate?.instancesPerMinute === undefined
        ? 0
        : take('instances', (count * 60_000) / rate.instancesPerMinute),
    bytes: (source) => (rate?.bytesPerSecond === undefined ? source : paced(source, rate.bytesPerSecond)),
    wait,
  };
}
