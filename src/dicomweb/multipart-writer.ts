/**
 * Writes a multipart/related body (RFC 2387, PS3.18 8.6.1.2) as a stream of parts.
 * Called by WADO-RS; the bytes go to the response as fast as the client reads, one chunk held at a time.
 */
import { randomUUID } from 'node:crypto';

export interface OutgoingPart {
  readonly contentType: string;
  readonly contentLocation?: string;
  readonly body: AsyncIterable<Uint8Array>;
}

export interface MultipartBody {
  /** The Content-Type of the whole. */
  readonly contentType: string;
  readonly body: AsyncIterable<Uint8Array>;
}

/** @param type media type of the parts, for the `type` parameter (RFC 2387 3.1) */
export function writeMultipart(type: string, parts: AsyncIterable<OutgoingPart>): MultipartBody {
  const boundary = `isocenter-${randomUUID()}`;
  return {
    contentType: multipartType(type, boundary),
    body: bytesOf(parts, boundary),
  };
}

/** A body of one part that is held: one piece, so that its length is known. */
export function wholeMultipart(
  type: string,
  part: { readonly contentType: string; readonly contentLocation: string; readonly bytes: Uint8Array },
): { contentType: string; bytes: Buffer } {
  const boundary = `isocenter-${randomUUID()}`;
  return {
    contentType: multipartType(type, boundary),
    bytes: Buffer.concat([
      partHeader('', boundary, part),
      part.bytes,
      Buffer.from(`\r\n--${boundary}--\r\n`, 'latin1'),
    ]),
  };
}

const multipartType = (type: string, boundary: string): string =>
  `multipart/related; type="${type}"; boundary="${boundary}"`;

function partHeader(
  lineEnd: string,
  boundary: string,
  { contentType, contentLocation }: Pick<OutgoingPart, 'contentType' | 'contentLocation'>,
): Buffer {
  const location = contentLocation === undefined ? '' : `Content-Location: ${contentLocation}\r\n`;
  return Buffer.from(`${lineEnd}--${boundary}\r\nContent-Type: ${contentType}\r\n${location}\r\n`, 'latin1');
}

async function* bytesOf(parts: AsyncIterable<OutgoingPart>, boundary: string): AsyncGenerator<Uint8Array> {
  // No empty line before the first boundary: dicomweb-client reads the boundary from the body's first line.
  let lineEnd = '';
  for await (const part of parts) {
    // Opened first: a body that cannot be read is still an answer with a status when it is the first.
    const body = part.body[Symbol.asyncIterator]();
    const first = await body.next();
    yield partHeader(lineEnd, boundary, part);
    try {
      for (let next = first; !next.done; next = await body.next()) yield next.value;
    } finally {
      await body.return?.();
    }
    lineEnd = '\r\n';
  }
  yield Buffer.from(`${lineEnd}--${boundary}--\r\n`, 'latin1');
}
