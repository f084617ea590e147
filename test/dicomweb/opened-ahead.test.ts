/** Parts opened before their turn: in order, few at a time, and none left open. */
import { describe, expect, it } from 'vitest';
import { createPieceBuffers } from '../../src/archive/object-store/piece-buffers.ts';
import type { OutgoingPart } from '../../src/dicomweb/multipart-writer.ts';
import { openedAhead } from '../../src/dicomweb/opened-ahead.ts';

interface Seen {
  opened: number;
  closed: number;
  sourceClosed: boolean;
}

async function* partsOf(
  count: number,
  seen: Seen,
  { broken = -1, made = false } = {},
): AsyncGenerator<OutgoingPart> {
  async function* body(n: number) {
    seen.opened++;
    try {
      if (n === broken) throw new Error(`part ${n} is broken`);
      yield Buffer.from(`${n} `);
      yield Buffer.from('more ');
    } finally {
      seen.closed++;
    }
  }
  try {
    for (let n = 0; n < count; n++)
      yield { contentType: `text/${n}`, body: body(n), ...(!made && { length: 7 }) };
  } finally {
    seen.sourceClosed = true;
  }
}

const plenty = () => createPieceBuffers(1024 * 1024, 1024 * 1024);
const nothing = (): Seen => ({ opened: 0, closed: 0, sourceClosed: false });

async function textOf(part: OutgoingPart): Promise<string> {
  let text = '';
  for await (const piece of part.body) text += Buffer.from(piece).toString();
  return text;
}

describe('parts opened ahead', () => {
  it('come in order and whole', async () => {
    const seen = nothing();
    const texts: string[] = [];
    for await (const part of openedAhead(partsOf(9, seen), plenty()))
      texts.push(part.contentType + (await textOf(part)));
    expect(texts).toEqual(Array.from({ length: 9 }, (_, n) => `text/${n}${n} more `));
    expect(seen).toEqual({ opened: 9, closed: 9, sourceClosed: true });
  });

  it('are four at most beside the one that is sent, and one where much is on its way', async () => {
    for (const [buffers, ahead] of [
      [plenty(), 4],
      [createPieceBuffers(0, -1), 1],
    ] as const) {
      const seen = nothing();
      let sent = 0;
      for await (const part of openedAhead(partsOf(20, seen), buffers)) {
        expect(seen.opened - sent).toBeLessThanOrEqual(ahead);
        expect(sent === 0 || sent > 15 || seen.opened - sent === ahead).toBe(true);
        await textOf(part);
        sent++;
      }
      expect(sent).toBe(20);
    }
  });

  it('that are made on their way are opened in their turn', async () => {
    const seen = nothing();
    let sent = 0;
    for await (const part of openedAhead(partsOf(9, seen, { made: true }), plenty())) {
      expect(seen.opened).toBe(sent);
      expect(await textOf(part)).toBe(`${sent} more `);
      sent++;
    }
    expect(seen).toEqual({ opened: 9, closed: 9, sourceClosed: true });
  });

  it('are closed when nobody wants them any more', async () => {
    const seen = nothing();
    let sent = 0;
    for await (const part of openedAhead(partsOf(20, seen), plenty())) {
      await textOf(part);
      if (++sent === 3) break;
    }
    expect(seen.opened).toBeGreaterThan(3);
    expect(seen.closed).toBe(seen.opened);
    expect(seen.sourceClosed).toBe(true);
  });

  it('fail in their turn, and not before', async () => {
    const seen = nothing();
    const texts: string[] = [];
    const all = async () => {
      for await (const part of openedAhead(partsOf(20, seen, { broken: 3 }), plenty()))
        texts.push(await textOf(part));
    };
    await expect(all()).rejects.toThrow('part 3 is broken');
    expect(texts).toHaveLength(3);
    expect(seen.closed).toBe(seen.opened);
  });
});
