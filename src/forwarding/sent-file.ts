/**
 * A stored object as a Part 10 file on its way out, for those who want to know its length first and may read it more
 * than once: stow-scu.ts and folder-scu.ts. Frames that were compressed for it are kept until it is closed.
 */
import type { ObjectReader } from '../archive/read-object.ts';
import { buildFileMeta } from '../dicom/part10.ts';
import { EXPLICIT_LE } from '../dicom/transfer-syntax.ts';
import { NotChanged, type SentAs } from './changed-object.ts';
import { type OpenedObject, openObject, recodedTo, type SendableObject } from './object-bytes.ts';
import { goesWithout, type RecodingOptions, recodeObject } from './recoded-object.ts';
import { waysOutOf, whyNoWay } from './ways-out.ts';

export interface SentFile extends SentAs {
  readonly length: number;
  /** The same bytes each time. */
  open(): AsyncIterable<Uint8Array>;
  /** Lets go of what was made for it; may be called at any time, and again. */
  close(): Promise<void>;
}

/**
 * The stored file, or the one that a rule makes of it. Of that one the header is made now, and again for each reading,
 * because the same changes give the same bytes; pixels that are compressed are made once. All of it is made for its
 * length only where that is not known beforehand.
 * @throws as openObject
 */
export async function openFile(
  reader: ObjectReader,
  object: SendableObject,
  options: RecodingOptions = {},
): Promise<SentFile> {
  const { studyUid, seriesUid, sopUid, length } = object;
  const close = async (): Promise<void> => undefined;
  if (!options.transform)
    return { studyUid, seriesUid, sopUid, length, open: () => reader.read(object), close };
  const [way, otherwise] = waysOutOf(object, options);
  if (way === undefined) throw new NotChanged('unsupported', whyNoWay(object, options, 'the destination'));
  try {
    return await madeFile(reader, object, way, options);
  } catch (thrown) {
    if (otherwise === undefined || !goesWithout(thrown, way, options.transform)) throw thrown;
    return madeFile(reader, object, otherwise, options);
  }
}

async function madeFile(
  reader: ObjectReader,
  object: SendableObject,
  way: string,
  options: RecodingOptions,
): Promise<SentFile> {
  const opening = { ...options, native: EXPLICIT_LE };
  const madeAs = await recodedTo(reader, object, way, opening);
  return madeAs === undefined
    ? changedFile(object, () => openObject(reader, object, way, opening))
    : recodedFile(reader, object, madeAs, options);
}

async function changedFile(object: SendableObject, openData: () => Promise<OpenedObject>): Promise<SentFile> {
  const data = await openData();
  try {
    const meta = metaOf(object, data.sopUid, data.transferSyntaxUid);
    const length = data.length ?? (await bytesOf(data.bytes));
    return fileOf(data, meta, length, () => once(openData, ({ bytes }) => bytes));
  } finally {
    await data.close();
  }
}

async function recodedFile(
  reader: ObjectReader,
  object: SendableObject,
  madeAs: string,
  options: RecodingOptions,
): Promise<SentFile> {
  const open = () => recodeObject(reader, object, madeAs, options);
  const made = await open();
  let isKept = false;
  try {
    const file = fileOf(made, metaOf(object, made.sopUid, madeAs), await made.length(), () =>
      made.isKept ? made.bytes() : once(open, ({ bytes }) => bytes()),
    );
    isKept = made.isKept;
    return isKept ? { ...file, close: () => made.close() } : file;
  } finally {
    // Of what is decompressed nothing is held until its turn comes.
    if (!isKept) await made.close();
  }
}

/** Without the AE title that sent it to us: it may name a place. */
function metaOf(object: SendableObject, sopInstanceUid: string, transferSyntaxUid: string): Buffer {
  return buildFileMeta({ sopClassUid: object.sopClass, sopInstanceUid, transferSyntaxUid });
}

function fileOf(
  { studyUid, seriesUid, sopUid }: SentAs,
  meta: Buffer,
  dataBytes: number,
  openData: () => AsyncIterable<Uint8Array>,
): SentFile {
  return {
    studyUid,
    seriesUid,
    sopUid,
    length: meta.length + dataBytes,
    async *open() {
      yield meta;
      yield* openData();
    },
    close: async () => undefined,
  };
}

async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const chunk of source) bytes += chunk.length;
  return bytes;
}

async function* once<Data extends { close(): Promise<void> }>(
  open: () => Promise<Data>,
  read: (data: Data) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const data = await open();
  try {
    yield* read(data);
  } finally {
    await data.close();
  }
}
