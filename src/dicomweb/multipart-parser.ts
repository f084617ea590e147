/**
 * Reads a multipart body (RFC 2046 5.1) part by part as it streams in, in any chunking.
 * Called by STOW, where the parts' bytes go straight on into archive/intake: a part may be larger than memory,
 * so only a delimiter's length of bytes is ever held back, and the sender is read no faster than the part is.
 */
import { Failure } from '../failure.ts';

export interface Part {
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** The part's bytes, once; what is left unread when the next part is asked for is passed over. */
  readonly body: AsyncIterable<Buffer>;
}

const MAX_HEADER_BYTES = 16_384;
const MAX_PREAMBLE_BYTES = 65_536;
/** White space allowed behind a boundary (RFC 2046 "transport-padding"). */
const MAX_PADDING = 64;
const CR = 0x0d;
const LF = 0x0a;
const DASH = 0x2d;
const HEADERS_END = Buffer.from('\r\n\r\n');
const CRLF = Buffer.from('\r\n');

/** @throws Failure 'invalid' when the boundary parameter is missing or no boundary by RFC 2046 5.1.1 */
export function checkBoundary(boundary: string | undefined): string {
  if (boundary === undefined || boundary === '')
    throw new Failure('invalid', 'The Content-Type multipart/related has no boundary parameter');
  if (boundary.length > 200 || !/^[\x20-\x7e]*[\x21-\x7e]$/.test(boundary))
    throw new Failure('invalid', 'The boundary of the Content-Type is not one of RFC 2046 5.1.1');
  return boundary;
}

/**
 * The parts in order. Bytes before the first boundary and after the last are ignored.
 * @throws Failure 'invalid' when the body has no boundary, ends before the closing one, or a part's headers are too long
 */
export async function* parseMultipart(
  source: AsyncIterable<Uint8Array>,
  boundary: string,
): AsyncGenerator<Part> {
  const reader = new DelimitedReader(source, boundary);
  try {
    let passed = 0;
    for await (const chunk of reader.untilDelimiter()) {
      passed += chunk.length;
      if (passed > MAX_PREAMBLE_BYTES)
        throw new Failure('invalid', `The body's first ${MAX_PREAMBLE_BYTES} bytes hold no boundary`);
    }
    while (!reader.closed) {
      const headers = await reader.headers();
      yield { headers, body: reader.untilDelimiter() };
      // A consumer that turned away in the middle leaves the rest to be passed over.
      if (reader.inPart) for await (const unread of reader.untilDelimiter()) void unread;
    }
  } finally {
    await reader.release();
  }
}

/**
 * The boundary says where a part ends, but bytes that look like one may stand in an object, and what lies before them
 * may be an object too, a shorter one: a part that says it is longer is not whole. (Of one that says it is shorter
 * nothing is missing.)
 * @throws Failure 'invalid'
 */
export function checkLength(declared: string | undefined, passed: number): void {
  if (declared !== undefined && /^\d+$/.test(declared) && Number(declared) > passed)
    throw new Failure(
      'invalid',
      `A part ends after ${passed} of the ${declared} bytes of its Content-Length`,
    );
}

class DelimitedReader {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #delimiter: Buffer;
  /** A line end before the body lets a boundary at its very first byte be found like any other. */
  #held: Buffer = CRLF;
  #started = false;
  #delimited = false;
  inPart = false;
  closed = false;

  constructor(source: AsyncIterable<Uint8Array>, boundary: string) {
    this.#source = source[Symbol.asyncIterator]();
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  }

  /** Everything before the next delimiter; afterwards the reader stands on the line end behind it, or is closed. */
  async *untilDelimiter(): AsyncGenerator<Buffer> {
    let from = 0;
    for (;;) {
      const at = this.#held.indexOf(this.#delimiter, from);
      if (at < 0) {
        const keep = partialTail(this.#held, this.#delimiter);
        const ready = this.#held.subarray(0, this.#held.length - keep);
        this.#held = this.#held.subarray(this.#held.length - keep);
        from = 0;
        if (ready.length > 0) yield ready;
        await this.#more();
        continue;
      }
      const behind = at + this.#delimiter.length;
      const end = lineEnd(this.#held, behind);
      if (end === 'more') {
        if (at > 0) {
          const ready = this.#held.subarray(0, at);
          this.#held = this.#held.subarray(at);
          yield ready;
        }
        from = 0;
        await this.#more();
        continue;
      }
      if (end === 'no-delimiter') {
        from = at + 1;
        continue;
      }
      const ready = this.#held.subarray(0, at);
      this.inPart = false;
      this.#delimited = true;
      this.closed = end === 'close';
      this.#held = end === 'close' ? this.#held.subarray(behind) : this.#held.subarray(end);
      if (ready.length > 0) yield ready;
      return;
    }
  }

  /** The header lines of the part that begins here. */
  async headers(): Promise<Map<string, string>> {
    let end = this.#held.indexOf(HEADERS_END);
    while (end < 0) {
      if (this.#held.length > MAX_HEADER_BYTES) throw tooLong();
      await this.#more();
      end = this.#held.indexOf(HEADERS_END);
    }
    if (end > MAX_HEADER_BYTES) throw tooLong();
    const headers = new Map<string, string>();
    // Folded lines (RFC 5322 2.2.3) belong to the line before them.
    const lines = this.#held
      .toString('latin1', 0, end)
      .replace(/\r\n[ \t]+/g, ' ')
      .split('\r\n');
    for (const line of lines) {
      const colon = line.indexOf(':');
      if (colon > 0) headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
    }
    this.#held = this.#held.subarray(end + HEADERS_END.length);
    this.inPart = true;
    return headers;
  }

  /** Lets go of the source, wherever the reading ended. */
  async release(): Promise<void> {
    await this.#source.return?.();
  }

  #endedEarly(): Failure {
    if (!this.#started) return new Failure('invalid', 'The body is empty');
    if (!this.#delimited)
      return new Failure(
        'invalid',
        'The body has no line of "--" and the boundary that its Content-Type names (RFC 2046 5.1.1)',
      );
    return new Failure(
      'invalid',
      'The body ends before its closing boundary: what came of the last part was not kept',
    );
  }

  async #more(): Promise<void> {
    const next = await this.#source.next();
    if (next.done) throw this.#endedEarly();
    this.#started = true;
    const chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
  }
}

/**
 * What stands behind a boundary: where its line ends (the index of its CRLF), the "--" that closes the body, more
 * bytes needed to tell, or other characters, which make it data that merely looks like a boundary.
 */
function lineEnd(bytes: Buffer, from: number): number | 'close' | 'more' | 'no-delimiter' {
  if (bytes[from] === DASH) {
    if (from + 1 >= bytes.length) return 'more';
    return bytes[from + 1] === DASH ? 'close' : 'no-delimiter';
  }
  let at = from;
  while (at < bytes.length && at - from <= MAX_PADDING && (bytes[at] === 0x20 || bytes[at] === 0x09)) at++;
  if (at >= bytes.length) return 'more';
  if (bytes[at] !== CR) return 'no-delimiter';
  if (at + 1 >= bytes.length) return 'more';
  return bytes[at + 1] === LF ? at : 'no-delimiter';
}

/** How many bytes at the end may be the beginning of the delimiter. */
function partialTail(bytes: Buffer, delimiter: Buffer): number {
  let at = bytes.indexOf(CR, Math.max(0, bytes.length - delimiter.length + 1));
  while (at >= 0) {
    const length = bytes.length - at;
    if (bytes.compare(delimiter, 0, length, at, bytes.length) === 0) return length;
    at = bytes.indexOf(CR, at + 1);
  }
  return 0;
}

function tooLong(): Failure {
  return new Failure('invalid', `A part's headers are longer than ${MAX_HEADER_BYTES} bytes`);
}
