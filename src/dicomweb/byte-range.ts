/**
 * Answers of one part whose length is known, whole or by a byte range (RFC 9110 14): 206, 416, If-Range.
 * Called by original.ts, frames.ts and bulk-data.ts, after the validator is set and before the bytes are read.
 */
import type { Context } from 'koa';
import type { Disclosure } from '../archive/disclosure.ts';
import type { ObjectVersion } from '../archive/disclosure-log.ts';
import type { ByteRange } from '../archive/read-object.ts';
import { disclose, type RetrieveParts, stream } from './answer.ts';
import { answerFailure } from './status.ts';

export interface RangedAnswer {
  readonly type: string;
  readonly length: number;
  /** The bytes of a range of the answer, or of all of it. */
  bytes(range?: ByteRange): AsyncIterable<Uint8Array>;
  readonly disclosure: Omit<Disclosure, 'recipient' | 'address'>;
  /** What the object must still be, where it was only remembered. */
  readonly stillAt?: ObjectVersion | undefined;
}

/**
 * Needs the strong ETag that isUnchanged sets for 'same' bytes.
 * @returns false when nothing was answered, because the object has changed
 */
export async function answerByRange(
  ctx: Context,
  parts: RetrieveParts,
  { type, length, bytes, disclosure, stillAt }: RangedAnswer,
): Promise<boolean> {
  ctx.set('Accept-Ranges', 'bytes');
  // Range has a meaning for GET only (RFC 9110 14.2).
  const header = ctx.method === 'GET' ? ctx.get('Range') : '';
  const range = rangeOf(header, ctx.get('If-Range'), ctx.response.get('ETag'), length);
  if (range === 'outside') {
    ctx.set('Content-Range', `bytes */${length}`);
    answerFailure(ctx, 416, {
      kind: 'invalid',
      message: `The range lies outside the ${length} bytes there are`,
    });
    return true;
  }
  const disclosed = disclose(ctx, parts.disclosures, disclosure, stillAt);
  return stream(ctx, parts, {
    type,
    length: range?.length ?? length,
    ...(range && { contentRange: `bytes ${range.offset}-${range.offset + range.length - 1}/${length}` }),
    bytes: bytes(range),
    disclosed,
  });
}

/** One byte range; several, none, one that is no range, or one of an older file mean the whole. Pure. */
export function rangeOf(
  header: string,
  ifRange: string,
  etag: string,
  length: number,
): ByteRange | 'outside' | undefined {
  if (ifRange !== '' && ifRange !== etag) return undefined;
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header.trim()) ?? [];
  if (first === '' && last === '') return undefined;
  const from = first === '' ? Math.max(0, length - Number(last)) : Number(first);
  const to = first === '' || last === '' ? length - 1 : Math.min(Number(last), length - 1);
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined;
  return from > to ? 'outside' : { offset: from, length: to - from + 1 };
}

/** The bytes of a range out of those of a whole. */
export async function* within(
  bytes: AsyncIterable<Uint8Array>,
  range: ByteRange | undefined,
): AsyncGenerator<Uint8Array> {
  let at = 0;
  const from = range?.offset ?? 0;
  const to = range ? range.offset + range.length : Number.POSITIVE_INFINITY;
  for await (const piece of bytes) {
    const part = piece.subarray(Math.max(0, from - at), Math.max(0, to - at));
    if (part.length > 0) yield part;
    at += piece.length;
    if (at >= to) return;
  }
}

/** A range of what several ranges make one behind the other, as ranges again. Pure. */
export function clipped<Range extends ByteRange>(
  ranges: readonly Range[],
  part: ByteRange | undefined,
): readonly Range[] {
  if (!part) return ranges;
  const found: Range[] = [];
  let at = 0;
  for (const range of ranges) {
    const from = Math.max(part.offset, at);
    const to = Math.min(part.offset + part.length, at + range.length);
    if (to > from) found.push({ ...range, offset: range.offset + from - at, length: to - from });
    at += range.length;
  }
  return found;
}
