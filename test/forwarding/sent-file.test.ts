/**
 * Files whose pixels are compressed on the way out, for those who want their length first and read them again: each
 * frame is encoded once, what was made is let go of in every outcome, and what cannot be made goes as the rule says.
 */
import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createSpool } from '../../src/archive/intake/spool.ts';
import { parseDataSet } from '../../src/dicom/data-set.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE, JPEG_LS_LOSSLESS, RLE_LOSSLESS } from '../../src/dicom/transfer-syntax.ts';
import { createByteRoom } from '../../src/forwarding/byte-room.ts';
import { openObject } from '../../src/forwarding/object-bytes.ts';
import type { RecodingParts } from '../../src/forwarding/recoded-pixels.ts';
import { openFile, type SentFile } from '../../src/forwarding/sent-file.ts';
import { createPixelWorkers, type PixelWorkers } from '../../src/pixels/pixel-workers.ts';
import { type CompiledTransform, compileTransform, type Transform } from '../../src/transform/transform.ts';
import { uint16 } from '../dicom/elements.ts';
import { madeObject } from '../dicomweb/made-object.ts';
import { givenStableStudy } from '../routing/given-study.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { type CountingSpool, countingSpool } from './counting-spool.ts';
import { type DoorOverHttp, openDoorOverHttp } from './door-over-http.ts';
import { storedFile } from './stored-file.ts';
import { startStowReceiver } from './stow-receiver.ts';

let folder: TempFolder;
let spool: CountingSpool;
beforeEach(async () => {
  folder = await tempFolder('sent-file');
  // Room for one object of these at a time.
  spool = countingSpool(createSpool({ folder: folder.path, limitBytes: 8 * 2 ** 20, reserveBytes: 0 }));
});
afterEach(() => folder.remove());

const KEY = 'a key of the test, which is long enough';
const transcode = (to: string, more: object = {}): Transform => [
  { transcode: { to, otherwise: 'send', ...more } },
];

function compiled(rule: Transform): CompiledTransform {
  const transform = compileTransform(rule, KEY, 'form');
  if ('faults' in transform) throw new Error(transform.faults.join());
  return transform;
}

const [SIDE, FRAMES] = [256, 50];

/** Noise in its lower bits, so that it does not become small. */
function longImage(): Buffer {
  const pixels = Buffer.alloc(SIDE * SIDE * 2 * FRAMES);
  let state = 1;
  for (let at = 0; at < pixels.length; at += 2) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    pixels.writeUInt16LE(((at >> 9) & 0x7ff) + (state >>> 24), at);
  }
  return madeObject({
    elements: [
      ['00280008', 'IS', `${FRAMES}`],
      ['00280010', 'US', uint16(SIDE)],
      ['00280011', 'US', uint16(SIDE)],
      ['00280101', 'US', uint16(12)],
      ['00280102', 'US', uint16(11)],
      ['FFFCFFFC', 'OB', Buffer.alloc(100_000)],
    ],
    pixels,
  });
}

async function read(file: SentFile): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of file.open()) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

describe('of one object', () => {
  let workers: PixelWorkers;
  let recoded = 0;
  let recoding: RecodingParts;
  beforeEach(() => {
    workers = createPixelWorkers({ threads: 1 });
    recoded = 0;
    recoding = {
      spool,
      room: createByteRoom(2 ** 26),
      workers: {
        recode(...all) {
          recoded++;
          return workers.recode(...all);
        },
      },
    };
  });
  afterEach(() => workers.stop());

  test('each frame is compressed once, however often the file is read; then its room is free again', async () => {
    const { object, reader } = storedFile(longImage());
    for (let time = 1; time <= 3; time++) {
      const file = await openFile(reader, object, {
        transform: compiled(transcode('RLELossless')),
        recoding,
      });
      const [once, again] = [await read(file), await read(file)];
      expect(once.length).toBe(file.length);
      expect(once.length).toBeGreaterThan(4 * 2 ** 20);
      expect(again.equals(once)).toBe(true);
      expect(recoded).toBe(time * FRAMES);
      await file.close();
      await file.close();
      expect([spool.opened, spool.closed]).toEqual([time, time]);
    }
  }, 60_000);

  test('a file that is closed in the middle of a reading gives its room back', async () => {
    const { object, reader } = storedFile(longImage());
    const options = { transform: compiled(transcode('RLELossless')), recoding };
    const file = await openFile(reader, object, options);
    const reading = file.open()[Symbol.asyncIterator]();
    for (let piece = 0; piece < 5; piece++) await reading.next();
    await file.close();
    await reading.return?.();
    expect([spool.opened, spool.closed]).toEqual([1, 1]);
    await (await openFile(reader, object, options)).close();
  }, 60_000);

  test('the length of what is decompressed is said without decoding it', async () => {
    const { object, reader } = storedFile(longImage());
    const made = await openFile(reader, object, { transform: compiled(transcode('RLELossless')), recoding });
    const compressed = storedFile(await read(made));
    await made.close();
    recoded = 0;
    const file = await openFile(compressed.reader, compressed.object, {
      transform: compiled(transcode('ExplicitVRLittleEndian')),
      recoding,
    });
    expect(recoded).toBeLessThanOrEqual(3);
    expect((await read(file)).length).toBe(file.length);
    await file.close();
  }, 60_000);

  test('an attempt that ends in the middle ends the work, and nothing is left', async () => {
    const { object, reader } = storedFile(longImage());
    const ending = new AbortController();
    const stopping: RecodingParts = {
      ...recoding,
      workers: {
        recode(...all) {
          if (++recoded === 20) ending.abort();
          return workers.recode(...all);
        },
      },
    };
    const options = {
      transform: compiled(transcode('RLELossless')),
      recoding: stopping,
      signal: ending.signal,
    };
    await expect(openFile(reader, object, options)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(recoded).toBeLessThan(25);
    expect([spool.opened, spool.closed]).toEqual([1, 1]);
  }, 60_000);

  /** Its last frame is not what RLE is (PS3.5 G.5): more segments than there are. */
  async function brokenImage(): Promise<ReturnType<typeof storedFile>> {
    const { object, reader } = storedFile(longImage());
    const file = await openFile(reader, object, { transform: compiled(transcode('RLELossless')), recoding });
    const bytes = await read(file);
    await file.close();
    const { pixel } = storedFile(bytes).object;
    const last = readFileMeta(bytes).dataSetOffset + pixel!.fragments!.offsets.at(-1)!;
    bytes.writeUInt32LE(999, last);
    recoded = 0;
    return storedFile(bytes);
  }

  test('pixels that do not decode leave as they are stored, where the rule lets them', async () => {
    const { object, reader } = await brokenImage();
    const rule = (otherwise: 'send' | 'refuse', more: Transform = []): CompiledTransform =>
      compiled([...more, ...transcode('JPEG2000', { ratio: 10, otherwise })]);
    const edit: Transform = [{ set: { InstitutionName: 'Elsewhere' } }];
    const file = await openFile(reader, object, { transform: rule('send', edit), recoding });
    const bytes = await read(file);
    await file.close();
    expect(bytes.length).toBe(file.length);
    expect(file.sopUid).toBe(object.sopUid);
    const meta = readFileMeta(bytes);
    expect(meta).toMatchObject({ transferSyntaxUid: RLE_LOSSLESS, sopInstanceUid: object.sopUid });
    const { elements } = parseDataSet(bytes.subarray(meta.dataSetOffset), RLE_LOSSLESS);
    expect(elements.get('00080080')!.value.toString()).toBe('Elsewhere ');
    expect(elements.has('00282110')).toBe(false);
    expect(recoded).toBeGreaterThanOrEqual(FRAMES);

    const opened = await openObject(reader, object, '1.2.840.10008.1.2.4.91', {
      transform: rule('send'),
      recoding,
      otherwise: RLE_LOSSLESS,
    });
    expect(opened).toMatchObject({ transferSyntaxUid: RLE_LOSSLESS, sopUid: object.sopUid });
    await opened.close();

    await expect(openFile(reader, object, { transform: rule('refuse'), recoding })).rejects.toThrow(
      /^it cannot be sent in JPEG 2000/,
    );
    expect(spool.closed).toBe(spool.opened);
  }, 120_000);

  test.each([
    ['masked', { mask: { regions: [{ edge: 'top', pixels: 9 }] } }],
    ['de-identified', { deidentify: { retain: [], burnedIn: 'send' } }],
  ] as [string, Transform[number]][])(
    'but not where they are %s as well',
    async (_, action) => {
      const { object, reader } = await brokenImage();
      for (const way of ['RLELossless', 'JPEGLSLossless']) {
        const transform = compiled([action, ...transcode(way)]);
        if (way === 'RLELossless' && !transform.planMask) continue;
        await expect(openFile(reader, object, { transform, recoding }), way).rejects.toThrow(
          /^it cannot be sent in/,
        );
        const opening = { transform, recoding, otherwise: EXPLICIT_LE, native: EXPLICIT_LE };
        const to = way === 'RLELossless' ? RLE_LOSSLESS : JPEG_LS_LOSSLESS;
        await expect(openObject(reader, object, to, opening), way).rejects.toThrow(/^it cannot be sent in/);
      }
      expect(spool.closed).toBe(spool.opened);
    },
    120_000,
  );
});

describe('by the doors', () => {
  let door: DoorOverHttp;
  let root: TempFolder;
  beforeEach(async () => {
    root = await tempFolder('sent-file-root');
    door = await openDoorOverHttp({ folderRoot: root.path, spool });
  });
  afterEach(async () => {
    await door.close();
    await root.remove();
  });

  const given = (instances: number) =>
    givenStableStudy(door.database, { store: door.store, instances, side: 64 });
  const rule = (name: string) => ({
    send: [name],
    transform: [{ transcode: { to: 'JPEG2000', ratio: 5, otherwise: 'refuse' } }],
  });

  test('a folder has each object compressed once, and once more to compare it with what lies there', async () => {
    await door.destination('research', { kind: 'folder', path: 'research' });
    await door.rule('all', rule('research'));
    const { studyUid } = await given(3);
    expect(await door.settled('delivered')).toMatchObject([{ delivered: 3 }]);
    expect([spool.opened, spool.closed]).toEqual([3, 3]);
    await door.call('POST', `/studies/${studyUid}/resend`);
    await door.settled('delivered');
    expect([spool.opened, spool.closed]).toEqual([6, 6]);
    const files = readdirSync(root.path, { recursive: true, withFileTypes: true });
    expect(files.filter((entry) => entry.isFile())).toHaveLength(3);
  });

  test('a STOW-RS server that drops the connection has each object compressed once, also one by one', async () => {
    const cloud = await startStowReceiver((_, nth) => (nth === 1 ? 'close' : undefined));
    try {
      await door.destination('cloud', { kind: 'stow', url: cloud.url });
      await door.rule('all', rule('cloud'));
      const { sopUids } = await given(4);
      expect(await door.settled('delivered')).toMatchObject([{ delivered: 4, attempts: 1 }]);
      expect(cloud.requests.map(({ parts }) => parts.length)).toEqual([4, 1, 1, 1, 1]);
      expect([spool.opened, spool.closed]).toEqual([4, 4]);
      expect(cloud.kept.size).toBe(4);
      for (const [sopUid, file] of cloud.kept) {
        expect(sopUids).not.toContain(sopUid);
        expect(readFileMeta(file).transferSyntaxUid).toBe('1.2.840.10008.1.2.4.91');
      }
    } finally {
      await cloud.stop();
    }
  });

  test('a STOW-RS server that refuses everything, and one that is not there, leave nothing behind', async () => {
    const cloud = await startStowReceiver(() => ({ status: 400 }));
    await door.destination('cloud', { kind: 'stow', url: cloud.url });
    await door.rule('all', rule('cloud'));
    await given(3);
    await door.settled('parked');
    await cloud.stop();
    await given(3);
    const told = async () => (await door.deliveries()).filter(({ lastError }) => lastError !== null).length;
    await expect.poll(told, { timeout: 20_000 }).toBe(2);
    await door.forwarding.stop(2000);
    expect(spool.opened).toBeGreaterThanOrEqual(6);
    expect(spool.closed).toBe(spool.opened);
  });
});
