/**
 * Lets the Pixel Data element pass and nothing behind it: signatures, private elements and padding may tell of the
 * patient what the header does not any more. Called by forwarding/changed-object.ts with the bytes from that element on;
 * what compressed frames say beside the picture is overwritten by quiet-codestream.ts.
 */
import {
  ITEM,
  isLongForm,
  readTag,
  readUint16,
  readUint32,
  SEQUENCE_DELIMITATION,
  UNDEFINED_LENGTH,
} from '../dicom/element-header.ts';
import { Failure } from '../failure.ts';
import type { QuietCodestream } from './quiet-codestream.ts';

export class PixelsOnly {
  readonly #implicit: boolean;
  readonly #codestream: QuietCodestream | undefined;
  /** The start of a header that a chunk cut in two. */
  #carry: Buffer = Buffer.alloc(0);
  #remaining = 0;
  #inFragments = false;
  #begun = false;
  /** Items so far: the first is the Basic Offset Table. */
  #items = 0;
  #ended = false;

  /** @param codestream overwrites what fragments say beside the picture */
  constructor(implicit: boolean, codestream?: QuietCodestream) {
    this.#implicit = implicit;
    this.#codestream = codestream;
  }

  /** Nothing that comes is let through any more. */
  get ended(): boolean {
    return this.#ended;
  }

  /** @returns what of the bytes may leave. @throws Failure 'invalid' when fragments are broken */
  push(chunk: Uint8Array): Uint8Array {
    const carried = this.#carry.length;
    // A copy where it is written to: readers may hold theirs.
    const whole = carried === 0 ? chunk : Buffer.concat([this.#carry, chunk]);
    const bytes = carried === 0 && this.#codestream ? Buffer.from(chunk) : whole;
    let at = 0;
    while (!this.#ended) {
      if (this.#remaining > 0) {
        const take = Math.min(this.#remaining, bytes.length - at);
        if (this.#items > 1) this.#codestream?.pass(bytes.subarray(at, at + take));
        this.#remaining -= take;
        at += take;
        if (this.#remaining > 0) break;
        if (!this.#inFragments) this.#ended = true;
        continue;
      }
      const size = this.#headerSize(bytes, at);
      if (size === 0 || bytes.length - at < size) break;
      this.#header(bytes, at, size);
      at += size;
    }
    this.#carry = this.#ended ? Buffer.alloc(0) : Buffer.from(bytes.subarray(at));
    return bytes.subarray(0, at);
  }

  #headerSize(bytes: Uint8Array, at: number): number {
    if (bytes.length - at < 8) return 0;
    if (this.#begun || this.#implicit) return 8;
    return isLongForm((bytes[at + 4]! << 8) | bytes[at + 5]!, readUint16(bytes, at + 6, true)) ? 12 : 8;
  }

  #header(bytes: Uint8Array, at: number, size: number): void {
    if (this.#begun) {
      const tag = readTag(bytes, at, false);
      const length = readUint32(bytes, at + 4, false);
      if (tag === SEQUENCE_DELIMITATION) this.#ended = true;
      else if (tag !== ITEM || length === UNDEFINED_LENGTH)
        throw new Failure('invalid', 'a fragment of the pixels is broken');
      else {
        this.#remaining = length;
        if (++this.#items > 1 && length > 0) this.#codestream?.beginFragment();
      }
      return;
    }
    this.#begun = true;
    const length =
      size === 12 || this.#implicit
        ? readUint32(bytes, at + size - 4, false)
        : readUint16(bytes, at + 6, false);
    this.#inFragments = length === UNDEFINED_LENGTH;
    if (!this.#inFragments) this.#remaining = length;
    if (length === 0) this.#ended = true;
  }
}
