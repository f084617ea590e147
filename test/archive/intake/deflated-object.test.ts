/** Deflated objects longer than the head that is scanned: their end must be there, and the data set in them whole. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createBudget } from '../../../src/archive/intake/budget.ts';
import { DeflatedObject } from '../../../src/archive/intake/deflated-object.ts';
import { createJournal, type Journal } from '../../../src/archive/intake/journal.ts';
import { beginObject } from '../../../src/archive/intake/object-writer.ts';
import { DEFLATED_LE } from '../../../src/dicom/transfer-syntax.ts';
import { anObject } from '../../support/an-object.ts';

const SEGMENT = 8 * 1024 * 1024;
let folder: string;
let journal: Journal;
let budget: ReturnType<typeof createBudget>;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'isocenter-deflated-'));
  budget = createBudget({ counter: new SharedArrayBuffer(8), limitBytes: 2 ** 40, reserveBytes: 0, folder });
  journal = createJournal({ folder, budget, segmentBytes: SEGMENT, tell: () => undefined });
});
afterEach(() => {
  journal.close();
  rmSync(folder, { recursive: true, force: true });
});

// Noise does not deflate: twice the bytes that the head has.
const { declared, dataSet } = anObject({ pixelBytes: 2 * 1024 * 1024 });
const whole = deflateRawSync(dataSet);

async function kept(bytes: Buffer, piece = 100_000): Promise<void> {
  const writer = beginObject(
    journal,
    budget,
    { ...declared, transferSyntaxUid: DEFLATED_LE },
    {
      reception: crypto.randomUUID(),
      kind: 'dimse',
      openedAt: new Date().toISOString(),
    },
  );
  for (let at = 0; at < bytes.length; at += piece) {
    // The receiver uses its buffer again once the write is done.
    const view = Buffer.from(bytes.subarray(at, at + piece));
    await writer.write(view);
    view.fill(0);
  }
  await writer.inflated();
  writer.finish();
}

describe('a long deflated object', () => {
  it.each([
    ['as it is', whole],
    ['with the NUL of an even length', Buffer.concat([whole, Buffer.alloc(1)])],
    ['with much behind its end', Buffer.concat([whole, Buffer.alloc(300_000, 7)])],
  ])('is kept %s', (_how, bytes) => kept(bytes));

  const spoiled = Buffer.from(whole);
  spoiled.fill(0xff, 1_500_000, 1_600_000);
  it.each([
    ['whose end is missing', whole.subarray(0, -300_000), /its end is missing/],
    ['that lacks one byte', whole.subarray(0, -1), /its end is missing/],
    ['that is corrupt far behind its head', spoiled, /corrupt|truncated/],
    [
      'whose data set is cut short in it',
      deflateRawSync(dataSet.subarray(0, -10)),
      /truncated inside .7FE0,0010/,
    ],
  ])('%s is refused, and nothing of it remains', async (_how, bytes, words) => {
    await expect(kept(bytes)).rejects.toMatchObject({
      kind: 'invalid',
      message: expect.stringMatching(words),
    });
    expect(budget.held()).toBe(SEGMENT);
    expect(readdirSync(folder).filter((name) => name.endsWith('.obj'))).toEqual([]);
  });

  it('that is dropped in the middle holds nobody', async () => {
    const object = new DeflatedObject();
    const written = object.push(whole.subarray(0, 1_000_000));
    object.drop();
    await written;
    await object.end();
    expect(object.fault).toBeUndefined();
  });

  it('beyond the bound is not inflated further: what was read of it must do', async () => {
    const object = new DeflatedObject(1024 * 1024);
    for (let at = 0; at < whole.length; at += 100_000) await object.push(whole.subarray(at, at + 100_000));
    await object.end();
    expect(object.fault).toBeUndefined();
  });
});
