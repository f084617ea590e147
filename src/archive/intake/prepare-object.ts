/**
 * Turns the bytes of an object into what the index wants of its header.
 * Called by read-record.ts for each record of the journal and by reindex for each stored file.
 */
import { parseDataSet } from '../../dicom/data-set.ts';
import { type DicomJson, toDicomJson } from '../../dicom/dicom-json.ts';
import { HeaderScan, type Scan } from '../../dicom/header-scan.ts';
import { Failure } from '../../failure.ts';
import { INDEXED } from '../indexed-attributes.ts';

/** A header longer than this is indexed by its first part. */
export const MAX_HEADER_BYTES = 16 * 1024 * 1024;

/**
 * An indexed attribute longer than this is left out of the index: what the index holds of a batch at once is bounded,
 * and no value of these attributes is near (LT: 10,240 characters). The object itself keeps it.
 */
export const MAX_INDEXED_BYTES = 256 * 1024;

export interface ObjectHeader {
  scan: Scan;
  /** of the indexed attributes */
  header: DicomJson;
}

/** Push the data set's bytes, File Meta left out, then end(). @throws Failure 'invalid' when the header cannot be parsed */
export class HeaderReading {
  readonly #transferSyntaxUid: string;
  readonly #scan: HeaderScan;
  readonly #head: Buffer[] = [];
  #headBytes = 0;
  #seen = 0;

  constructor(transferSyntaxUid: string) {
    this.#transferSyntaxUid = transferSyntaxUid;
    this.#scan = new HeaderScan(transferSyntaxUid);
  }

  /** Copies what it needs: the piece may be reused. */
  push(piece: Uint8Array): void {
    const at = this.#seen;
    this.#seen += piece.length;
    const passed = this.#scan.headerEnd !== undefined;
    this.#scan.push(piece);
    if (passed) return;
    // Pixel Data mostly begins within the piece; copying it along would cost more than all the rest.
    const header = (this.#scan.headerEnd ?? this.#seen) - at;
    const length = Math.min(header, MAX_HEADER_BYTES - this.#headBytes);
    if (length <= 0) return;
    this.#head.push(Buffer.from(piece.subarray(0, length)));
    this.#headBytes += length;
  }

  end(): ObjectHeader {
    const bytes = this.#head.length === 1 ? this.#head[0]! : Buffer.concat(this.#head);
    return { scan: this.#scan.end(), header: parseHeader(bytes, this.#transferSyntaxUid) };
  }
}

/** @throws Failure 'invalid' when it cannot be parsed */
export function parseHeader(bytes: Uint8Array, transferSyntaxUid: string): DicomJson {
  try {
    const header = parseDataSet(bytes, transferSyntaxUid, { stopAtPixelData: true });
    return toDicomJson(header, { bulkDataUri: () => undefined, only: INDEXED, longest: MAX_INDEXED_BYTES });
  } catch (cause) {
    throw new Failure('invalid', 'the header of the object cannot be read', { cause });
  }
}
