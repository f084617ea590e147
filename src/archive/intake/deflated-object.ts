/**
 * Inflates the whole of a deflated data set (PS3.5 A.5) as it passes, and keeps nothing of it: whether its end is
 * there, and the data set in it whole. The header scan inflates no more than a head of it (dicom/deflated.ts).
 * Made by object-writer.ts for each deflated object; its bytes go to the journal as they came.
 */
import { createInflateRaw } from 'node:zlib';
import { HeaderScan } from '../../dicom/header-scan.ts';
import { EXPLICIT_LE } from '../../dicom/transfer-syntax.ts';

/** What is longer inflated is judged by its head alone: a sender of 4 MB must not keep a processor for minutes. */
export const MAX_CHECKED_BYTES = 4 * 1024 ** 3;
const CHUNK_BYTES = 256 * 1024;

export class DeflatedObject {
  readonly #inflate = createInflateRaw({ chunkSize: CHUNK_BYTES });
  readonly #scan = new HeaderScan(EXPLICIT_LE);
  readonly #closed: Promise<void>;
  #taken: (() => void) | undefined;
  #inflated = 0;
  #fault: string | undefined;

  constructor(maxCheckedBytes = MAX_CHECKED_BYTES) {
    const inflate = this.#inflate;
    inflate.on('data', (bytes: Buffer) => {
      this.#inflated += bytes.length;
      if (this.#inflated > maxCheckedBytes) inflate.destroy();
      else this.#scan.push(bytes);
    });
    // What follows the end is padding (PS3.5 A.5), whatever it holds: it hides nothing.
    inflate.on('end', () => {
      this.#fault = this.#scan.end().fault;
    });
    inflate.on('error', () => {
      this.#fault = 'the deflated data set is corrupt or its end is missing';
    });
    this.#closed = new Promise((resolve) =>
      inflate.once('close', () => {
        this.#taken?.();
        resolve();
      }),
    );
  }

  /** The bytes may be reused once it resolves. */
  push(bytes: Uint8Array): Promise<void> | undefined {
    if (!this.#inflate.writable || this.#inflate.readableEnded) return undefined;
    return new Promise((resolve) => {
      // A write whose bytes turn out corrupt is never called back: the close resolves it.
      this.#taken = resolve;
      this.#inflate.write(bytes, () => resolve());
    });
  }

  /** All bytes have come: resolves when `fault` is known. */
  end(): Promise<void> {
    this.#inflate.end();
    return this.#closed;
  }

  /** One sentence without patient data. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Nothing more is asked of it. */
  drop(): void {
    this.#inflate.destroy();
  }
}
