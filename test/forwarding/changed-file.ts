/** A Part 10 file as a rule changes it, by forwarding's own code, from bytes instead of a store. */
import { createSpool } from '../../src/archive/intake/spool.ts';
import { type DataSet, parseDataSet } from '../../src/dicom/data-set.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { createByteRoom } from '../../src/forwarding/byte-room.ts';
import type { RecodingParts } from '../../src/forwarding/recoded-pixels.ts';
import { openFile } from '../../src/forwarding/sent-file.ts';
import { createPixelWorkers, type PixelWorkers } from '../../src/pixels/pixel-workers.ts';
import { compileTransform, type Transform } from '../../src/transform/transform.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { storedFile } from './stored-file.ts';

export const KEY = 'a key of the test, which is long enough';

export function dataSetOf(file: Buffer): DataSet {
  const meta = readFileMeta(file);
  return parseDataSet(file.subarray(meta.dataSetOffset), meta.transferSyntaxUid);
}

/**
 * @param piece bytes that the reader gives at a time
 * @param released a person has looked at it
 */
export async function changedFile(
  file: Buffer,
  transform: Transform,
  {
    piece,
    released = false,
    recoding,
  }: { piece?: number; released?: boolean; recoding?: RecodingParts } = {},
): Promise<Buffer> {
  const compiled = compileTransform(transform, KEY);
  if ('faults' in compiled) throw new Error(compiled.faults.join());
  const { object, reader } = storedFile(file, piece);
  const { open, close } = await openFile(reader, { ...object, released }, { transform: compiled, recoding });
  const out: Buffer[] = [];
  for await (const chunk of open()) out.push(Buffer.from(chunk));
  await close();
  return Buffer.concat(out);
}

/** The same with what compressed pixels take. */
export interface Changing {
  readonly workers: PixelWorkers;
  changed(file: Buffer, transform: Transform): Promise<Buffer>;
  stop(): Promise<void>;
}

export async function changing(): Promise<Changing> {
  const folder = await tempFolder('changing');
  const workers = createPixelWorkers({ threads: 1 });
  const spool = createSpool({ folder: folder.path, limitBytes: 2 ** 30, reserveBytes: 0 });
  const recoding = { workers, spool, room: createByteRoom(256 * 1024 * 1024) };
  return {
    workers,
    changed: (file, transform) => changedFile(file, transform, { recoding }),
    async stop() {
      await workers.stop();
      await folder.remove();
    },
  };
}
