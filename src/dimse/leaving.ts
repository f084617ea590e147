/**
 * Whether a request has left this program: written, and taken by the system from the socket's queue. A peer cannot have
 * what has not. Made by requestor.ts, one per request, to judge answers and to know when memory is free again.
 */
import type { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';

export interface Leaving {
  /** All of it was given to the socket; said by whoever writes. */
  isWritten: boolean;
  readonly isOver: boolean;
  /** TLS tells late of what the system has taken: in the next turn of the event loop. */
  turn(): Promise<void>;
  /** Settles when the system has it all, or the socket is gone, which sends nothing any more. */
  over(): Promise<void>;
}

/** @param socket with nothing of earlier requests in its queue */
export function createLeaving(socket: Socket): Leaving {
  return {
    isWritten: false,
    get isOver() {
      return this.isWritten && socket.writableLength === 0;
    },
    async turn() {
      await turn();
      await turn();
    },
    over: () =>
      new Promise((resolve) => {
        // Called behind what was written before, or with an error.
        socket.write('', () => resolve());
      }),
  };
}
