/**
 * A multi-frame of 200 MB on its way to DCMTK in another compression: what the process takes while it is compressed,
 * and while one like it is decompressed, is some frames, and not the object.
 */
import { createHash, randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { declareStable } from '../../src/archive/stable-study.ts';
import { indexObjects } from '../../src/archive/study-index.ts';
import { parseDataSet } from '../../src/dicom/data-set.ts';
import { toDicomJson } from '../../src/dicom/dicom-json.ts';
import { HeaderScan } from '../../src/dicom/header-scan.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE, JPEG_LS_LOSSLESS } from '../../src/dicom/transfer-syntax.ts';
import { createUid } from '../../src/dicom/uid.ts';
import { createPixelWorkers } from '../../src/pixels/pixel-workers.ts';
import { uint16 } from '../dicom/elements.ts';
import { madeObject } from '../dicomweb/made-object.ts';
import { imageOf } from '../pixels/image-file.ts';
import { type StoreScp, startStoreScp } from '../support/pacs.ts';
import { peer } from '../support/peers.ts';
import { type BackDoor, openBackDoor } from './back-door.ts';

const MB = 2 ** 20;
const SIDE = 512;
const FRAME_BYTES = SIDE * SIDE * 2;
const FRAMES = 400;
/** Pieces under way, and what waits for the collector (60 to 110 MB were seen); less than the object. */
const MOST_GROWTH = 160 * MB;

let door: BackDoor;
let scp: StoreScp;
beforeEach(async () => {
  if (!peer('dcmtk')) return;
  scp = await startStoreScp();
  door = await openBackDoor({ timeouts: { connectMs: 5000, answerMs: 60_000 } });
});
afterEach(async () => {
  await door?.close();
  await scp?.stop();
});

/** Twelve bits with noise in the lower ones. */
function frame(): Buffer {
  const pixels = Buffer.alloc(FRAME_BYTES);
  let state = 1;
  for (let at = 0; at < pixels.length; at += 2) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    pixels.writeUInt16LE((((at >> 9) & 0x3f) << 5) + (state >>> 27), at);
  }
  return pixels;
}

const layout = (frames: number): [string, string, string | Buffer][] => [
  ['00280008', 'IS', String(frames)],
  ['00280010', 'US', uint16(SIDE)],
  ['00280011', 'US', uint16(SIDE)],
  ['00280101', 'US', uint16(12)],
  ['00280102', 'US', uint16(11)],
];

async function jpegLs(pixels: Buffer): Promise<Buffer> {
  const workers = createPixelWorkers({ threads: 1 });
  try {
    const { pixel } = imageOf(madeObject({ pixels, elements: layout(1) }));
    return Buffer.from(await workers.recode(pixel, pixels, { to: JPEG_LS_LOSSLESS }));
  } finally {
    await workers.stop();
  }
}

/** A study of one image with so many frames, all alike: put into the store piece by piece. */
async function given(pieces: { frames: number; codestream?: Buffer; pixels: Buffer }): Promise<void> {
  const { frames, codestream, pixels } = pieces;
  const study = createUid();
  const transferSyntax = codestream ? JPEG_LS_LOSSLESS : EXPLICIT_LE;
  const head = madeObject({
    study,
    instance: `${study}.1.1`,
    transferSyntax,
    elements: layout(frames),
    without: ['7FE00010'],
  });
  const meta = readFileMeta(head);
  const header = head.subarray(meta.dataSetOffset);
  const start = Buffer.from('e07f10004f570000ffffffff', 'hex');
  if (codestream) start.write('OB', 4, 'latin1');
  else start.writeUInt32LE(frames * FRAME_BYTES, 8);
  const item = Buffer.from('feff00e000000000', 'hex');
  if (codestream) item.writeUInt32LE(codestream.length, 4);
  const parts = function* (): Generator<Buffer> {
    yield header;
    yield start;
    if (codestream) yield Buffer.from('feff00e000000000', 'hex');
    for (let nth = 0; nth < frames; nth++) {
      if (codestream) yield item;
      yield codestream ?? pixels;
    }
    if (codestream) yield Buffer.from('feffdde000000000', 'hex');
  };
  const [whole, content] = [
    createHash('sha256').update(head.subarray(0, meta.dataSetOffset)),
    createHash('sha256'),
  ];
  content.update(transferSyntax).update('\0');
  const scan = new HeaderScan(transferSyntax);
  let length = meta.dataSetOffset;
  for (const part of parts()) {
    whole.update(part);
    content.update(part);
    scan.push(part);
    length += part.length;
  }
  const key = `test/${study}`;
  await door.store.put(key, {
    length,
    sha256: whole.digest(),
    async *open() {
      yield head.subarray(0, meta.dataSetOffset);
      yield* parts();
    },
  });
  await indexObjects(door.database, 'test', [
    {
      sopClassUid: '1.2.840.10008.5.1.4.1.1.7',
      sopInstanceUid: `${study}.1.1`,
      studyInstanceUid: study,
      seriesInstanceUid: `${study}.1`,
      transferSyntaxUid: transferSyntax,
      contentHash: content.digest(),
      length,
      dataSetOffset: meta.dataSetOffset,
      pixel: scan.end().pixelData,
      key,
      place: { in: 'store' as const },
      receivedAt: new Date().toISOString(),
      from: {
        reception: randomUUID(),
        openedAt: new Date().toISOString(),
        kind: 'dimse' as const,
        callingAe: 'CT1',
      },
      header: toDicomJson(parseDataSet(header, EXPLICIT_LE)),
    },
  ] as Parameters<typeof indexObjects>[2]);
  await declareStable(door.database, 0);
}

/** The most that the process took beyond what it has now. */
async function growth(work: () => Promise<unknown>): Promise<{ rss: number; external: number }> {
  globalThis.gc?.();
  const before = process.memoryUsage();
  const most = { rss: 0, external: 0 };
  const timer = setInterval(() => {
    const now = process.memoryUsage();
    most.rss = Math.max(most.rss, now.rss - before.rss);
    // With those of array buffers.
    most.external = Math.max(most.external, now.external - before.external);
  }, 20);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return most;
}

describe.skipIf(!peer('dcmtk'))('200 MB of frames (needs dcmtk)', () => {
  test.each([
    ['compressed to RLE', 'RLELossless', false],
    ['decompressed from JPEG-LS', 'ExplicitVRLittleEndian', true],
  ])(
    'that are %s take some frames of memory',
    async (name, to, isCompressed) => {
      const pixels = frame();
      const image = { pixels, ...(isCompressed && { codestream: await jpegLs(pixels) }) };
      const { host, port, aeTitle } = scp;
      await door.destination('pacs', { kind: 'dimse', host, port, aeTitle });
      await door.rule('all', { send: ['pacs'], transform: [{ transcode: { to, otherwise: 'refuse' } }] });
      // Threads and codecs are there then.
      await given({ ...image, frames: 8 });
      await door.settled('delivered');
      const most = await growth(async () => {
        await given({ ...image, frames: FRAMES });
        const until = Date.now() + 150_000;
        while ((await door.deliveries()).some(({ state }) => state !== 'delivered'))
          if (Date.now() > until) throw new Error(`${name}: not delivered`);
          else await new Promise((resolve) => setTimeout(resolve, 100));
        expect(await door.settled('delivered')).toHaveLength(2);
      });
      expect(most.rss).toBeLessThan(MOST_GROWTH);
      expect(most.external).toBeLessThan(MOST_GROWTH);
      expect(await scp.received()).toHaveLength(2);
    },
    200_000,
  );
});
