/**
 * Writes a multipart/related body (RFC 2387, PS3.18 8.6.1.2) as a stream of parts.
 * Called by WADO-RS; the bytes go to the response as fast as the client reads, one chunk held at a time.
 */
import { randomUUID } from 'node:crypto';

const LINE_END = '\r\n';

export interface OutgoingPart {
  readonly contentType: string;
  readonly contentLocation?: string;
  readonly body: AsyncIterable<Uint8Array>;
  /** Of the body, where it is known before. */
  readonly length?: number;
  /** What is given instead when the body fails before its first byte; throws what is no reason for that. */
  readonly orElse?: (thrown: unknown) => OutgoingPart;
}

export interface MultipartBody {
  /** The Content-Type of the whole. */
  readonly contentType: string;
  readonly body: AsyncIterable<Uint8Array>;
  /** Of the whole: when all parts are there, and each knows its own. */
  readonly length?: number;
}

/** @param type media type of the parts, for the `type` parameter (RFC 2387 3.1) */
export function writeMultipart(
  type: string,
  parts: AsyncIterable<OutgoingPart> | readonly OutgoingPart[],
): MultipartBody {
  const boundary = `isocenter-${randomUUID()}`;
  const length = Array.isArray(parts) ? lengthOf(parts, boundary) : undefined;
  return {
    contentType: `multipart/related; type="${type}"; boundary="${boundary}"`,
    body: bytesOf(parts, boundary),
    ...(length !== undefined && { length }),
  };
}

function lengthOf(parts: readonly OutgoingPart[], boundary: string): number | undefined {
  let sum = ending(LINE_END, boundary).length;
  for (const [index, part] of parts.entries()) {
    if (part.length === undefined) return undefined;
    sum += partHeader(index === 0 ? '' : LINE_END, boundary, part).length + part.length;
  }
  return sum;
}

function partHeader(
  lineEnd: string,
  boundary: string,
  { contentType, contentLocation }: Pick<OutgoingPart, 'contentType' | 'contentLocation'>,
): Buffer {
  const location = contentLocation === undefined ? '' : `Content-Location: ${contentLocation}\r\n`;
  return Buffer.from(`${lineEnd}--${boundary}\r\nContent-Type: ${contentType}\r\n${location}\r\n`, 'latin1');
}

async function* bytesOf(
  parts: AsyncIterable<OutgoingPart> | readonly OutgoingPart[],
  boundary: string,
): AsyncGenerator<Uint8Array> {
  // No empty line before the first boundary: dicomweb-client reads the boundary from the body's first line.
  let lineEnd = '';
  for await (const part of parts) {
    // Opened first: a body that cannot be read is still an answer with a status when it is the first.
    const opened = await begun(part);
    const body = opened.body[Symbol.asyncIterator]();
    try {
      yield partHeader(lineEnd, boundary, opened);
      for (let next = await body.next(); !next.done; next = await body.next()) yield next.value;
    } finally {
      await body.return?.();
    }
    lineEnd = LINE_END;
  }
  yield ending(lineEnd, boundary);
}

/** The part with its first bytes read, or the one that is given instead. The body is to be read, or returned. */
export async function begun(part: OutgoingPart): Promise<OutgoingPart> {
  const rest = part.body[Symbol.asyncIterator]();
  try {
    return { ...part, body: continued(await rest.next(), rest) };
  } catch (thrown) {
    if (!part.orElse) throw thrown;
    return begun(part.orElse(thrown));
  }
}

/** Not a generator: one that was never started would not let go of the rest. */
export function continued(
  first: IteratorResult<Uint8Array> | Promise<IteratorResult<Uint8Array>>,
  rest: AsyncIterator<Uint8Array>,
): AsyncIterable<Uint8Array> {
  let held: typeof first | undefined = first;
  return {
    [Symbol.asyncIterator]: () => ({
      async next() {
        const result = held ?? rest.next();
        held = undefined;
        return result;
      },
      async return() {
        await rest.return?.();
        return { done: true, value: undefined };
      },
    }),
  };
}

const ending = (lineEnd: string, boundary: string): Buffer =>
  Buffer.from(`${lineEnd}--${boundary}--\r\n`, 'latin1');
