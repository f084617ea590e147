/**
 * A settled object on its way into the index: what it says of itself, where its bytes lie, who brought it.
 * Made by intake/read-record.ts and reindex.ts; written by study-index.ts and the files of rows beside it.
 */
import type { DicomJson } from '../dicom/dicom-json.ts';
import type { PixelLocation } from '../dicom/header-scan.ts';
import type { Decision } from './decide-indexing.ts';
import type { Provenance } from './intake/record.ts';

/** Where the bytes can be read when the row commits. */
export type ObjectPlace =
  | { in: 'store' }
  | { in: 'journal'; node: string; path: string; nonce: string; offset: number };

/** A record of a node's journal: its segment, in this use of the file, and where in it the record ends. */
export interface RecordPlace {
  path: string;
  nonce: string;
  end: number;
}

export interface IncomingObject {
  sopClassUid: string;
  sopInstanceUid: string;
  studyInstanceUid: string;
  seriesInstanceUid: string;
  transferSyntaxUid: string;
  contentHash: Buffer;
  /** Part 10 bytes */
  length: number;
  dataSetOffset: number;
  pixel: PixelLocation | undefined;
  key: string;
  place: ObjectPlace;
  receivedAt: string;
  from: Provenance;
  /** the indexed attributes as DICOM JSON */
  header: DicomJson;
  /** Of the journal; undefined for what is read from the store. */
  record?: RecordPlace;
  /** What /metadata says of it (header-piece.ts), where that is made with the index. */
  piece?: Buffer | undefined;
  /** Found in the journal after a crash: it may have been indexed and counted before. */
  replayed?: boolean;
}

/** What an instance's rows are made of. */
export type InstanceContent = Pick<
  IncomingObject,
  'sopClassUid' | 'sopInstanceUid' | 'studyInstanceUid' | 'seriesInstanceUid' | 'header'
>;

/** An object of the batch and what becomes of it. */
export interface IndexItem {
  object: IncomingObject;
  decision: Decision;
}
