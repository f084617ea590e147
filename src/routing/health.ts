/**
 * How a destination is doing, from what the ledger keeps of it: its circuit breaker, its windows, and of a group which
 * member is used now. Pure; shown at /api/destinations and at /metrics.
 */
import type { DestinationRecord } from './routing-table.ts';
import { standing } from './time-window.ts';

/** closed: it is sent to. open: nothing is tried until then. half-open: one delivery asks whether it is back. */
export type Breaker = 'closed' | 'open' | 'half-open';

export const BREAKERS: readonly Breaker[] = ['closed', 'open', 'half-open'];

export function breakerOf({ faults, downUntil }: DestinationRecord, now: Date): Breaker {
  if (faults === 0) return 'closed';
  return downUntil !== null && downUntil > now ? 'open' : 'half-open';
}

/** Whether it may be sent to: the breaker is not open, it is in its windows and not switched off. */
export function isUp(record: DestinationRecord, now: Date): boolean {
  const { settings } = record;
  if (!settings.enabled || settings.kind === 'group') return false;
  return breakerOf(record, now) !== 'open' && standing(settings.windows ?? [], now).open;
}

/** The member through which a group's next delivery goes; undefined while none is up. */
export function currentMember(
  members: readonly string[],
  all: ReadonlyMap<string, DestinationRecord>,
  now: Date,
): string | undefined {
  return members.find((name) => {
    const member = all.get(name);
    return member !== undefined && isUp(member, now);
  });
}
