/**
 * Long headers that a rule changes, of all deliveries together: so many are in memory at once, the others wait for
 * their turn in order. What was made of one waits for its peer in scratch space, so that no slow peer has a turn.
 * Made by forwarding.ts; changed-object.ts enters before it reads on.
 */
import type { Spool } from '../archive/intake/spool.ts';
import { asFailure, Failure } from '../failure.ts';
import { createByteRoom } from './byte-room.ts';

/** Held whole, with what it becomes; an object without pixels (a report, a document) is all header. */
export const MAX_HEADER_BYTES = 32 * 1024 * 1024;
/** Up to here a header needs no turn: one of each object under way. */
export const SHORT_HEADER_BYTES = 1024 * 1024;
const AT_ONCE = 2;

export interface HeaderRoom {
  /** Waits for a turn. Whoever has one waits for nobody's peer. @returns ends it, once */
  enter(): Promise<() => void>;
  /** @throws Failure 'unavailable' when there is no room for it now */
  putAside(head: Uint8Array): Promise<HeadAside>;
}

export interface HeadAside {
  bytes(): AsyncGenerator<Uint8Array>;
  /** Gives its room back. */
  close(): Promise<void>;
}

export function createHeaderRoom(spool: Spool): HeaderRoom {
  const room = createByteRoom(AT_ONCE);
  return {
    enter: () => room.take(1),
    async putAside(head) {
      const file = spool.open();
      const value = file.begin();
      try {
        await value.append(head);
      } catch (thrown) {
        await file.close();
        const failure = asFailure(thrown);
        if (failure.kind !== 'no-space') throw failure;
        throw new Failure('unavailable', 'there is no room to keep its header until it is sent', {
          cause: failure,
        });
      }
      const { length } = head;
      return {
        bytes: () => value.read(0, length),
        close: () => file.close(),
      };
    },
  };
}
