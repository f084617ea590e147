/**
 * Writes elements in Explicit VR Little Endian (PS3.5 A.2), or Implicit (A.1), as a list of chunks.
 * Called by explicit-little-endian, which hands the chunks on to WADO and forwarding.
 */

import { isLongForm } from '../dicom/element-header.ts';

const SMALL = 4096;

/** Gathers headers and short values, so that a header part does not become thousands of little writes. */
export class ElementWriter {
  readonly #implicit: boolean;
  #parts: Uint8Array[] = [];
  #small = Buffer.allocUnsafe(SMALL);
  #used = 0;
  /** While it is, everything written is dropped: an element that is left out with all it holds. */
  muted = false;

  constructor({ implicit = false } = {}) {
    this.#implicit = implicit;
  }

  /** An element's header; `vr` 0 for items and delimiters. */
  header(tag: number, vr: number, length: number): void {
    if (this.muted) return;
    this.#reserve(12);
    const small = this.#small;
    small.writeUInt16LE(tag >>> 16, this.#used);
    small.writeUInt16LE(tag & 0xffff, this.#used + 2);
    this.#used += 4;
    if (vr !== 0 && !this.#implicit) {
      small.writeUInt16BE(vr, this.#used);
      this.#used += 2;
      if (!isLongForm(vr, 0)) {
        this.#used = small.writeUInt16LE(length, this.#used);
        return;
      }
      this.#used = small.writeUInt16LE(0, this.#used);
    }
    this.#used = small.writeUInt32LE(length, this.#used);
  }

  value(bytes: Uint8Array): void {
    if (this.muted) return;
    if (bytes.length > SMALL / 4) {
      this.#flush();
      this.#parts.push(bytes);
      return;
    }
    this.#reserve(bytes.length);
    this.#small.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  take(): Uint8Array[] {
    this.#flush();
    const parts = this.#parts;
    this.#parts = [];
    return parts;
  }

  #reserve(length: number): void {
    if (this.#used + length > SMALL) this.#flush();
  }

  #flush(): void {
    if (this.#used === 0) return;
    this.#parts.push(this.#small.subarray(0, this.#used));
    this.#small = Buffer.allocUnsafe(SMALL);
    this.#used = 0;
  }
}
