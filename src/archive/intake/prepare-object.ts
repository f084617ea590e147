/**
 * Turns a journal record into what the index wants: reads the body once, scans it, and parses its header.
 * Called by the settler for each record and by reindex for each stored file.
 */
import { parseDataSet } from '../../dicom/data-set.ts';
import { type DicomJson, toDicomJson } from '../../dicom/dicom-json.ts';
import { HeaderScan, type Scan } from '../../dicom/header-scan.ts';
import { Failure } from '../../failure.ts';

/** A header longer than this is indexed by its first part. */
export const MAX_HEADER_BYTES = 16 * 1024 * 1024;

export interface ObjectHeader {
  scan: Scan;
  header: DicomJson;
}

/**
 * @param pieces the data set's bytes, File Meta left out; read to the end
 * @throws Failure 'invalid' when the header cannot be parsed
 */
export function readObjectHeader(transferSyntaxUid: string, pieces: Iterable<Uint8Array>): ObjectHeader {
  const reading = new HeaderReading(transferSyntaxUid);
  for (const piece of pieces) reading.push(piece);
  return reading.end();
}

/** The same for bytes that come one by one. */
export class HeaderReading {
  readonly #transferSyntaxUid: string;
  readonly #scan: HeaderScan;
  readonly #head: Buffer[] = [];
  #headBytes = 0;

  constructor(transferSyntaxUid: string) {
    this.#transferSyntaxUid = transferSyntaxUid;
    this.#scan = new HeaderScan(transferSyntaxUid);
  }

  push(piece: Uint8Array): void {
    if (this.#headBytes < MAX_HEADER_BYTES && !this.#scan.pixelDataReached) {
      const kept = Buffer.from(piece.subarray(0, MAX_HEADER_BYTES - this.#headBytes));
      this.#head.push(kept);
      this.#headBytes += kept.length;
    }
    this.#scan.push(piece);
  }

  end(): ObjectHeader {
    const scan = this.#scan.end();
    try {
      const bytes = this.#head.length === 1 ? this.#head[0]! : Buffer.concat(this.#head);
      const header = parseDataSet(bytes, this.#transferSyntaxUid, { stopAtPixelData: true });
      return { scan, header: toDicomJson(header, { bulkDataUri: () => undefined }) };
    } catch (cause) {
      throw new Failure('invalid', 'the header of the object cannot be read', { cause });
    }
  }
}
