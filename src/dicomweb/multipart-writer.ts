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
    contentType: `multipart/related; type="${type}"; boundary="${boundary}"`,
    body: bytesOf(parts, boundary),
  };
}

async function* bytesOf(parts: AsyncIterable<OutgoingPart>, boundary: string): AsyncGenerator<Uint8Array> {
  // No empty line before the first boundary: dicomweb-client reads the boundary from the body's first line.
  let lineEnd = '';
  for await (const part of parts) {
    // Opened first: a body that cannot be read is still an answer with a status when it is the first.
    const body = part.body[Symbol.asyncIterator]();
    const first = await body.next();
    const location =
      part.contentLocation === undefined ? '' : `Content-Location: ${part.contentLocation}\r\n`;
    yield Buffer.from(
      `${lineEnd}--${boundary}\r\nContent-Type: ${part.contentType}\r\n${location}\r\n`,
      'latin1',
    );
    try {
      for (let next = first; !next.done; next = await body.next()) yield next.value;
    } finally {
      await body.return?.();
    }
    lineEnd = '\r\n';
  }
  yield Buffer.from(`${lineEnd}--${boundary}--\r\n`, 'latin1');
}
