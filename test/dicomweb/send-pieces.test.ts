/** Pieces through a real socket: the right bytes though buffers are used again, few at once, and an end for every reader. */
import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import {
  createPieceBuffers,
  type PieceBuffers,
  SMALL_PIECE_BYTES,
  WHOLE_PIECE_BYTES,
} from '../../src/archive/object-store/piece-buffers.ts';
import { sendPieces } from '../../src/dicomweb/send-pieces.ts';

const MB = 1024 * 1024;
const SOURCE = randomBytes(4 * MB);

let server: http.Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** `bytes` of the source, again and again, in pieces of what the buffers say. */
async function* piecesOf(
  buffers: PieceBuffers,
  bytes: number,
  seen?: { most: number; closed: boolean },
): AsyncGenerator<Uint8Array> {
  try {
    for (let done = 0; done < bytes; ) {
      const piece = buffers.take(Math.min(buffers.pieceBytes, bytes - done));
      for (let at = 0; at < piece.length; at += SMALL_PIECE_BYTES)
        SOURCE.copy(
          piece,
          at,
          (done + at) % SOURCE.length,
          ((done + at) % SOURCE.length) + SMALL_PIECE_BYTES,
        );
      if (seen) seen.most = Math.max(seen.most, buffers.takenBytes);
      done += piece.length;
      await sleep(0);
      yield piece;
    }
  } finally {
    if (seen) seen.closed = true;
  }
}

/** @returns its URL, and what became of each answer */
async function serve(
  buffers: PieceBuffers,
  source: () => AsyncGenerator<Uint8Array>,
  length?: number,
): Promise<{ url: string; ends: (Error | 'sent')[] }> {
  const ends: (Error | 'sent')[] = [];
  server = http.createServer(async (_req, res) => {
    const rest = source();
    if (length !== undefined) res.setHeader('Content-Length', length);
    try {
      await sendPieces(res, buffers, { begun: await rest.next(), rest, length });
      ends.push('sent');
    } catch (thrown) {
      ends.push(thrown as Error);
      res.destroy();
    }
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, ends };
}

function open(url: string): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    http.get(url, { agent: false }, resolve).on('error', reject);
  });
}

async function hashOf(url: string, pauseMs: number): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of await open(url)) {
    hash.update(chunk as Buffer);
    if (pauseMs > 0) await sleep(pauseMs);
  }
  return hash.digest('hex');
}

function expected(bytes: number): string {
  const hash = createHash('sha256');
  for (let done = 0; done < bytes; done += SOURCE.length)
    hash.update(SOURCE.subarray(0, Math.min(SOURCE.length, bytes - done)));
  return hash.digest('hex');
}

describe('pieces of an answer', () => {
  for (const known of [true, false])
    it(`arrive as they are with ${known ? 'a length' : 'none'}, for fast and slow readers at once`, async () => {
      const bytes = 20 * MB + 12_345;
      const buffers = createPieceBuffers(8 * MB, 8 * MB);
      const { url, ends } = await serve(buffers, () => piecesOf(buffers, bytes), known ? bytes : undefined);
      const hashes = await Promise.all([0, 1, 0, 2, 0, 1].map((pause) => hashOf(url, pause)));
      expect(new Set(hashes)).toEqual(new Set([expected(bytes)]));
      expect(ends).toEqual(Array(6).fill('sent'));
      await expect.poll(() => buffers.takenBytes).toBe(0);
    });

  it('are few at once, however little a client reads', async () => {
    const buffers = createPieceBuffers(8 * MB, 64 * MB);
    const seen = { most: 0, closed: false };
    const { url } = await serve(buffers, () => piecesOf(buffers, 200 * MB, seen));
    const answer = await open(url);
    await sleep(300);
    expect(seen.closed).toBe(false);
    // Two in the socket, one that waits.
    expect(seen.most).toBeLessThanOrEqual(3 * WHOLE_PIECE_BYTES);
    for await (const chunk of answer) expect(chunk).toBeDefined();
    expect(seen.closed).toBe(true);
    expect(seen.most).toBeLessThanOrEqual(3 * WHOLE_PIECE_BYTES);
  });

  it('end with the client: their source is closed', async () => {
    const buffers = createPieceBuffers(8 * MB, 64 * MB);
    const seen = { most: 0, closed: false };
    const { url, ends } = await serve(buffers, () => piecesOf(buffers, 1000 * MB, seen));
    const answer = await open(url);
    answer.destroy();
    await expect.poll(() => ends).toEqual(['sent']);
    expect(seen.closed).toBe(true);
  });

  it('that fail say so: the answer is cut', async () => {
    const buffers = createPieceBuffers(8 * MB, 64 * MB);
    const { url, ends } = await serve(buffers, async function* () {
      yield* piecesOf(buffers, 3 * MB);
      throw new Error('the disk is gone');
    });
    await expect(hashOf(url, 0)).rejects.toThrow(/aborted|socket hang up/);
    expect(ends).toEqual([new Error('the disk is gone')]);
  });

  it('that are too few for their head say so too', async () => {
    const buffers = createPieceBuffers(8 * MB, 64 * MB);
    const { url, ends } = await serve(buffers, () => piecesOf(buffers, MB), MB + 1);
    await expect(hashOf(url, 0)).rejects.toThrow(/aborted|socket hang up/);
    expect(String(ends[0])).toContain('1 of the 1048577 bytes of an answer did not come');
  });
});
