/**
 * One long object in another compression: a few frames in memory whatever its length, the same bytes each time it is
 * made, and its instance named by the source and the rule.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSpool } from '../../src/archive/intake/spool.ts';
import type { ObjectReader } from '../../src/archive/read-object.ts';
import { parseDataSet, text } from '../../src/dicom/data-set.ts';
import { EXPLICIT_LE, JPEG_LS_LOSSLESS, RLE_LOSSLESS } from '../../src/dicom/transfer-syntax.ts';
import { createByteRoom } from '../../src/forwarding/byte-room.ts';
import { createHeaderRoom, type HeaderRoom } from '../../src/forwarding/header-room.ts';
import { openObject } from '../../src/forwarding/object-bytes.ts';
import type { RecodingParts } from '../../src/forwarding/recoded-pixels.ts';
import { createPixelWorkers } from '../../src/pixels/pixel-workers.ts';
import { compileTransform, type Transform } from '../../src/transform/transform.ts';
import { uint16 } from '../dicom/elements.ts';
import { madeObject } from '../dicomweb/made-object.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { storedFile } from './stored-file.ts';

const workers = createPixelWorkers({ threads: 1, maxWaiting: 100 });
let folder: TempFolder;
let held = 0;
let mostHeld = 0;
let recoding: RecodingParts;
beforeAll(async () => {
  folder = await tempFolder('recoded-object');
  const room = createByteRoom(2 ** 24);
  recoding = {
    workers,
    spool: createSpool({ folder: folder.path, limitBytes: 2 ** 30, reserveBytes: 0 }),
    room: {
      async take(bytes) {
        const leave = await room.take(bytes);
        held += bytes;
        mostHeld = Math.max(mostHeld, held);
        return () => {
          held -= bytes;
          leave();
        };
      },
    },
  };
});
afterAll(async () => {
  await workers.stop();
  await folder.remove();
});

const [SIDE, FRAMES] = [256, 120];
const FRAME_BYTES = SIDE * SIDE * 2;

/** Noise in its lower bits, so that it does not become small. */
function longObject(): Buffer {
  const pixels = Buffer.alloc(FRAME_BYTES * FRAMES);
  let state = 1;
  for (let at = 0; at < pixels.length; at += 2) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    pixels.writeUInt16LE(((at >> 9) & 0x7ff) + (state >>> 24), at);
  }
  return madeObject({
    elements: [
      ['00280008', 'IS', String(FRAMES)],
      ['00280010', 'US', uint16(SIDE)],
      ['00280011', 'US', uint16(SIDE)],
      ['00280101', 'US', uint16(12)],
      ['00280102', 'US', uint16(11)],
    ],
    pixels,
  });
}

/** Read through a reader that counts what it is asked for at once. */
async function made(
  { object, reader }: ReturnType<typeof storedFile>,
  to: string,
  rule?: Transform,
  form = 'form',
): Promise<{ dataSet: Buffer; sopUid: string; largest: number }> {
  let largest = 0;
  const counting: ObjectReader = {
    ...reader,
    readRange(which, offset, length) {
      largest = Math.max(largest, length);
      return reader.readRange(which, offset, length);
    },
  };
  const transform = rule && compileTransform(rule, undefined, form);
  if (transform && 'faults' in transform) throw new Error(transform.faults.join());
  const opened = await openObject(counting, object, to, { recoding, ...(transform && { transform }) });
  const chunks: Buffer[] = [];
  for await (const chunk of opened.bytes) chunks.push(Buffer.from(chunk));
  await opened.close();
  return { dataSet: Buffer.concat(chunks), sopUid: opened.sopUid, largest };
}

describe('an object of many frames', () => {
  test('is compressed and decompressed a few frames at a time, and comes back bit for bit', async () => {
    const file = longObject();
    const stored = storedFile(file);
    const compressed = await made(stored, RLE_LOSSLESS);
    expect(compressed.dataSet.length).toBeGreaterThan(2 ** 20);
    expect(mostHeld).toBeLessThanOrEqual(3 * 2 * FRAME_BYTES);
    expect(held).toBe(0);
    expect(compressed.largest).toBeLessThanOrEqual(FRAME_BYTES);
    const meta = file.subarray(0, stored.object.dataSetOffset);
    const again = Buffer.concat([
      Buffer.from(
        meta.toString('latin1').replace('1.2.840.10008.1.2.1\0', '1.2.840.10008.1.2.5\0'),
        'latin1',
      ),
      compressed.dataSet,
    ]);
    const back = await made(storedFile(again), EXPLICIT_LE);
    const pixels = parseDataSet(back.dataSet, EXPLICIT_LE).elements.get('7FE00010')!.value;
    expect(Buffer.compare(pixels, file.subarray(-FRAME_BYTES * FRAMES))).toBe(0);
    expect(held).toBe(0);
  }, 120_000);

  test('has its turn in the header room where its header is long, and leaves with all of it', async () => {
    const long = 2 ** 21;
    const stored = storedFile(
      madeObject({
        elements: [
          ['00091001', 'OB', Buffer.alloc(long, 7)],
          ['00280010', 'US', uint16(4)],
          ['00280011', 'US', uint16(4)],
        ],
      }),
    );
    const room = createHeaderRoom(recoding.spool);
    let [turns, aside] = [0, 0];
    const headers: HeaderRoom = {
      enter: () => {
        turns++;
        return room.enter();
      },
      putAside: (head) => {
        aside++;
        return room.putAside(head);
      },
    };
    const opened = await openObject(stored.reader, stored.object, RLE_LOSSLESS, {
      recoding: { ...recoding, headers },
    });
    // Before its peer has taken anything, both turns are free again.
    const leave = [await room.enter(), await room.enter()];
    for (const one of leave) one();
    const chunks: Buffer[] = [];
    for await (const chunk of opened.bytes) chunks.push(Buffer.from(chunk));
    await opened.close();
    expect([turns, aside]).toEqual([1, 1]);
    const { elements } = parseDataSet(Buffer.concat(chunks), RLE_LOSSLESS);
    expect(elements.get('00091001')!.value.length).toBe(long);
    expect(elements.has('7FE00010')).toBe(true);
  });

  test('is the same each time it is made, another instance for another rule', async () => {
    const stored = storedFile(
      madeObject({
        elements: [
          ['00280010', 'US', uint16(4)],
          ['00280011', 'US', uint16(4)],
        ],
      }),
    );
    const rule: Transform = [{ transcode: { to: 'JPEG2000', ratio: 4, otherwise: 'refuse' } }];
    const J2K = '1.2.840.10008.1.2.4.91';
    const [one, same, other] = [
      await made(stored, J2K, rule),
      await made(stored, J2K, rule),
      await made(stored, J2K, rule, 'another form'),
    ];
    expect(one.dataSet.equals(same.dataSet)).toBe(true);
    expect(one.sopUid).not.toBe(stored.object.sopUid);
    expect(text(parseDataSet(one.dataSet, EXPLICIT_LE), '00080018')).toBe(one.sopUid);
    expect(other.sopUid).not.toBe(one.sopUid);
  });

  test('whose frames are cut short is not sent so, in words', async () => {
    const stored = storedFile(longObject());
    const broken = { ...stored.object, pixel: { ...stored.object.pixel!, length: FRAME_BYTES } };
    await expect(made({ ...stored, object: broken }, JPEG_LS_LOSSLESS)).rejects.toThrow(
      /^it cannot be sent in JPEG-LS Lossless Image Compression: \(7FE0,0010\) PixelData has/,
    );
    expect(held).toBe(0);
  });
});
