/**
 * Part 10 objects for the lanes: of the corpus where there is one, and made here where there is not.
 * The data set of each is every byte behind the File Meta, whatever it is.
 */
import { closeSync, createReadStream, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';

export interface FileObject {
  path: string;
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
  dataSetOffset: number;
}

/** Files whose head reads as File Meta with all three UIDs, each SOP Instance UID and transfer syntax once. */
export function corpusObjects(folder = ''): FileObject[] {
  const root = corpusFolder;
  if (root === undefined) return [];
  const seen = new Set<string>();
  const found: FileObject[] = [];
  for (const { file = '', tier } of corpusIndex()) {
    if (!file.startsWith(folder) || tier === undefined) continue;
    const object = fileObject(join(root, file));
    if (object === undefined || seen.has(object.sopInstanceUid)) continue;
    seen.add(object.sopInstanceUid);
    found.push(object);
  }
  return found;
}

export function fileObject(path: string): FileObject | undefined {
  const head = Buffer.alloc(4096);
  const fd = openSync(path, 'r');
  const length = readSync(fd, head);
  closeSync(fd);
  try {
    const { sopClassUid, sopInstanceUid, transferSyntaxUid, dataSetOffset } = readFileMeta(
      head.subarray(0, length),
    );
    if (!sopClassUid || !sopInstanceUid) return undefined;
    return { path, sopClassUid, sopInstanceUid, transferSyntaxUid, dataSetOffset };
  } catch (error) {
    // Broken on purpose, or a data set without File Meta: of no use here.
    if (error instanceof Error) return undefined;
    throw error;
  }
}

export function dataSetOf({ path, dataSetOffset }: FileObject): Buffer {
  return readFileSync(path).subarray(dataSetOffset);
}

export function streamOf({ path, dataSetOffset }: FileObject): AsyncIterable<Uint8Array> {
  return createReadStream(path, { start: dataSetOffset });
}
