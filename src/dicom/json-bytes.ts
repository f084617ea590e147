/**
 * UTF-8 text that grows at its end, as bytes. Used by dicom-json-bytes.ts, which copies values into it a byte at a time.
 */

/** What a header of some hundred attributes comes to. */
const FIRST_ROOM = 16 * 1024;

export class JsonBytes {
  #bytes = Buffer.allocUnsafeSlow(FIRST_ROOM);
  /** Where the next byte goes. What stands behind a place can be taken back by setting it to that place. */
  at = 0;

  /** Room for so many bytes more from `at` on; a view that is good until the next call. */
  room(bytes: number): Buffer {
    if (this.at + bytes > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(this.at + bytes, 2 * this.#bytes.length));
      this.#bytes.copy(larger, 0, 0, this.at);
      this.#bytes = larger;
    }
    return this.#bytes;
  }

  /** Text of ASCII characters only. */
  ascii(text: string): void {
    const bytes = this.room(text.length);
    let at = this.at;
    for (let n = 0; n < text.length; n++) bytes[at++] = text.charCodeAt(n);
    this.at = at;
  }

  text(text: string): void {
    const length = Buffer.byteLength(text);
    this.room(length).write(text, this.at);
    this.at += length;
  }

  /** A whole number, 0 to 2^32 - 1. */
  unsigned(value: number): void {
    const bytes = this.room(10);
    let digits = 1;
    for (let left = value; left >= 10; left = Math.floor(left / 10)) digits++;
    this.at += digits;
    for (let at = this.at - 1, left = value; digits > 0; digits--, left = Math.floor(left / 10))
      bytes[at--] = 0x30 + (left % 10);
  }

  /** What was written: a view on it. */
  bytes(): Buffer {
    return this.#bytes.subarray(0, this.at);
  }
}
