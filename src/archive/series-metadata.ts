/**
 * The metadata of a study, series or instance as DICOM JSON (PS3.18 10.4.1.1.3), one instance after the other:
 * headers are read from the stored objects, a few at a time, and leave in order.
 * Called by the DICOMweb door, which streams the texts on.
 */
import { dicomJsonText, toDicomJson } from '../dicom/dicom-json.ts';
import type { Queryable } from './database/database.ts';
import { eachStoredObject } from './each-stored-object.ts';
import { readHeader } from './read-header.ts';
import type { ObjectReader } from './read-object.ts';
import type { ObjectQuery, StoredObject } from './stored-object.ts';

/** Headers being read at once; each is a few KB as a rule and 64 MB at the very most. */
const AHEAD = 8;

export interface MetadataParts {
  database: Queryable;
  reader: ObjectReader;
  /** Where a binary value that is too large to stand inline can be fetched. */
  bulkDataUri(object: StoredObject, path: string): string;
}

/** DICOM JSON texts of the instances, in the order of findStoredObjects. */
export async function* seriesMetadata(parts: MetadataParts, where: ObjectQuery): AsyncGenerator<string> {
  const pending: Promise<string>[] = [];
  try {
    for await (const object of eachStoredObject(parts.database, where)) {
      const text = metadataOf(parts, object);
      // Whoever awaits it sees the failure; until then it must not count as unhandled.
      text.catch(() => undefined);
      pending.push(text);
      if (pending.length >= AHEAD) yield await pending.shift()!;
    }
    while (pending.length > 0) yield await pending.shift()!;
  } finally {
    await Promise.allSettled(pending);
  }
}

async function metadataOf(parts: MetadataParts, object: StoredObject): Promise<string> {
  const { dataSet, longValues } = await readHeader(parts.reader, object);
  const json = toDicomJson(dataSet, {
    bulkDataUri: (path) => parts.bulkDataUri(object, path),
    ...(object.pixel && { pixelData: { tag: object.pixel.tag, vr: object.pixel.vr } }),
  });
  for (const [tag, { vr }] of longValues) json[tag] = { vr, BulkDataURI: parts.bulkDataUri(object, tag) };
  // AvailableTransferSyntaxUID tells a viewer what the frames come in (PS3.18 10.4.1.1.2).
  json['00083002'] = { vr: 'UI', Value: [object.transferSyntax] };
  return dicomJsonText(json);
}
