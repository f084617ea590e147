/**
 * Finds DICOM files in folders and reads who they are, for send.ts: identity from the head of the data set, which is
 * what the receiver compares with, or from File Meta where it is not found there; and where the bytes to send begin.
 */
import { type FileHandle, open, opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { HeaderScan, scanUid } from '../dicom/header-scan.ts';
import { readFileMeta } from '../dicom/part10.ts';
import { asFailure, Failure } from '../failure.ts';

export interface DicomFile {
  path: string;
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
  dataSetOffset: number;
  /** Of the data set. */
  length: number;
}

/** File Meta takes a few hundred bytes; SOP Class and Instance UID stand near the start of a data set. */
const headLength = 64 * 1024;
const readLength = 256 * 1024;
/** Media Storage Directory Storage (PS3.4 I.4): kept on media, never sent. */
const mediaDirectory = '1.2.840.10008.1.3.10';

/**
 * Every file below the paths, folder by folder in the order of their names. Links to files are followed, links to
 * folders only where they are named themselves: below one they may lead in a circle.
 */
export async function* walk(paths: readonly string[]): AsyncGenerator<string> {
  for (const path of paths) {
    const found = await stat(path).catch((cause: unknown) => {
      throw new Failure('invalid', `${path} cannot be read: ${asFailure(cause).message}`, { cause });
    });
    if (found.isDirectory()) yield* walkFolder(path);
    else yield path;
  }
}

async function* walkFolder(folder: string): AsyncGenerator<string> {
  const folders: string[] = [];
  const files: string[] = [];
  const entries = await opendir(folder).catch((cause: unknown) => {
    throw new Failure('invalid', `${folder} cannot be read: ${asFailure(cause).message}`, { cause });
  });
  for await (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) folders.push(path);
    else if (entry.isFile() || (entry.isSymbolicLink() && (await leadsToFile(path)))) files.push(path);
  }
  yield* files.sort();
  for (const path of folders.sort()) yield* walkFolder(path);
}

/** A link that leads nowhere is left out. */
async function leadsToFile(link: string): Promise<boolean> {
  return stat(link).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** Failure 'invalid' in words when it is no DICOM file or does not say who it is. */
export async function readDicomFile(path: string): Promise<DicomFile> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const head = Buffer.alloc(Math.min(headLength, size));
    await readFully(file, head, 0);
    const meta = readFileMeta(head);
    const { transferSyntaxUid, dataSetOffset } = meta;
    const scan = new HeaderScan(transferSyntaxUid);
    scan.push(head.subarray(dataSetOffset));
    const found = scan.end();
    const sopClassUid = scanUid(found, '00080016') ?? meta.sopClassUid;
    const sopInstanceUid = scanUid(found, '00080018') ?? meta.sopInstanceUid;
    if (meta.sopClassUid === mediaDirectory)
      throw new Failure('invalid', 'a DICOMDIR lists objects and is none');
    if (!sopClassUid) throw new Failure('invalid', 'it has no (0008,0016) SOPClassUID');
    if (!sopInstanceUid) throw new Failure('invalid', 'it has no (0008,0018) SOPInstanceUID');
    return {
      path,
      sopClassUid,
      sopInstanceUid,
      transferSyntaxUid,
      dataSetOffset,
      length: size - dataSetOffset,
    };
  } finally {
    await file.close();
  }
}

/** The data set's bytes as they are in the file. */
export async function* dataSet({ path, dataSetOffset, length }: DicomFile): AsyncGenerator<Uint8Array> {
  const file = await open(path);
  try {
    const end = dataSetOffset + length;
    for (let at = dataSetOffset; at < end; ) {
      // A new buffer each time: the association may still hold the one before.
      const chunk = Buffer.allocUnsafe(Math.min(readLength, end - at));
      const read = await readFully(file, chunk, at);
      if (read === 0) throw new Failure('mismatch', `${path} became shorter while it was sent`);
      yield chunk.subarray(0, read);
      at += read;
    }
  } finally {
    await file.close();
  }
}

async function readFully(file: FileHandle, into: Buffer, position: number): Promise<number> {
  let filled = 0;
  while (filled < into.length) {
    const { bytesRead } = await file.read(into, filled, into.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}
