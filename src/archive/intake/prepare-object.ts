/**
 * Turns the bytes of an object into what the index wants of its header.
 * Called by read-record.ts for each record of the journal and by reindex for each stored file.
 */
import { type DataSet, parseDataSet } from '../../dicom/data-set.ts';
import { type DicomJson, toDicomJson } from '../../dicom/dicom-json.ts';
import { HeaderScan, type PixelLocation, type Scan } from '../../dicom/header-scan.ts';
import { transferSyntax } from '../../dicom/transfer-syntax.ts';
import { Failure } from '../../failure.ts';
import { makePiece } from '../header-piece.ts';
import { INDEXED } from '../indexed-attributes.ts';
import { bytesBehindPixels } from '../read-attributes.ts';

/** A header longer than this is indexed by its first part. */
export const MAX_HEADER_BYTES = 16 * 1024 * 1024;

/**
 * An indexed attribute longer than this is left out of the index: what the index holds of a batch at once is bounded,
 * and no value of these attributes is near (LT: 10,240 characters). The object itself keeps it.
 */
export const MAX_INDEXED_BYTES = 256 * 1024;

/** Of a header whose piece is made with the index; a batch holds some hundred of them. */
const MAX_EARLY_BYTES = 64 * 1024;

/** What is read of a header. */
export interface ParsedHeader {
  /** of the indexed attributes */
  header: DicomJson;
  /** Of a header longer than MAX_EARLY_BYTES, or deflated, not all of it. */
  dataSet: DataSet;
  /** that were parsed */
  headerBytes: number;
}

export interface ScannedHeader extends ParsedHeader {
  scan: Scan;
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

  end(): ScannedHeader {
    const bytes = this.#head.length === 1 ? this.#head[0]! : Buffer.concat(this.#head);
    return { scan: this.#scan.end(), ...parseHeader(bytes, this.#transferSyntaxUid) };
  }
}

/** @throws Failure 'invalid' when it cannot be parsed */
export function parseHeader(bytes: Uint8Array, transferSyntaxUid: string): ParsedHeader {
  try {
    // Of a long header the tree is not made: it can hold a million elements, and the release waits for the index.
    const isShort = bytes.length <= MAX_EARLY_BYTES && !transferSyntax(transferSyntaxUid).deflated;
    const dataSet = parseDataSet(bytes, transferSyntaxUid, {
      stopAtPixelData: true,
      ...(!isShort && { only: INDEXED }),
    });
    const header = toDicomJson(dataSet, {
      bulkDataUri: () => undefined,
      only: INDEXED,
      longest: MAX_INDEXED_BYTES,
    });
    return { header, dataSet, headerBytes: bytes.length };
  } catch (cause) {
    throw new Failure('invalid', 'the header of the object cannot be read', { cause });
  }
}

/**
 * What /metadata says of the object (header-piece.ts), made while its header is in hand, so that it is there with the
 * index. Undefined where that takes longer than a release should wait, or fails: then it is made when the object is
 * placed, or for whoever asks, who is told why.
 * @param length of the data set
 */
export function earlyPiece(
  { dataSet, headerBytes }: ParsedHeader,
  of: { transferSyntaxUid: string; pixel: PixelLocation | undefined; length: number },
): Buffer | undefined {
  if (headerBytes > MAX_EARLY_BYTES || bytesBehindPixels(of.pixel, of.length) > 0) return undefined;
  if (transferSyntax(of.transferSyntaxUid).deflated) return undefined;
  try {
    return makePiece({ dataSet, ...of });
  } catch {
    return undefined;
  }
}
