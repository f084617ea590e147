/**
 * Connections that hold no association: silent ones, TLS handshakes, what lingers behind a reject. Bounded, so that
 * nobody locks a modality out by connecting and saying nothing. Kept by listener.ts, one for each receiver thread.
 */
import type { Socket } from 'node:net';

export interface WaitingRoom {
  /** @param onDropped told when the socket had to make room; it is destroyed already */
  enter(socket: Socket, address: string, onDropped: (sentence: string) => void): void;
  leave(socket: Socket): void;
  readonly size: number;
}

interface Waiting {
  address: string;
  onDropped: (sentence: string) => void;
}

/** @param limit sockets; the oldest of the address with the most of them makes room for one more */
export function createWaitingRoom(limit: number): WaitingRoom {
  /** In order of arrival. */
  const waiting = new Map<Socket, Waiting>();
  const perAddress = new Map<string, number>();

  const leave = (socket: Socket): void => {
    const one = waiting.get(socket);
    if (!one) return;
    waiting.delete(socket);
    const left = (perAddress.get(one.address) ?? 1) - 1;
    if (left === 0) perAddress.delete(one.address);
    else perAddress.set(one.address, left);
  };

  const dropOldestOfTheMost = (): void => {
    const most = Math.max(...perAddress.values());
    for (const [socket, { address, onDropped }] of waiting) {
      if (perAddress.get(address) !== most) continue;
      leave(socket);
      socket.destroy();
      onDropped(
        `it made room for a newer connection: ${limit} wait without an association, ${most} of them from its address (DICOM_MAX_WAITING)`,
      );
      return;
    }
  };

  return {
    enter(socket, address, onDropped) {
      if (socket.destroyed || waiting.has(socket)) return;
      if (waiting.size >= limit) dropOldestOfTheMost();
      waiting.set(socket, { address, onDropped });
      perAddress.set(address, (perAddress.get(address) ?? 0) + 1);
      socket.once('close', () => leave(socket));
    },
    leave,
    get size() {
      return waiting.size;
    },
  };
}
