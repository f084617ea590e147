/**
 * Keys of stored objects: which are allowed, and which ranges of an object are.
 * Called by both stores before they touch a disk or a network, so that a UID cannot leave its folder.
 */
import { Failure } from '../../failure.ts';
import { type ByteRange, maximumRangeLength } from './object-store.ts';

/** The longest key S3 takes; a file name ends at 255 bytes on every file system we run on. */
const maximumKeyLength = 1024;
const maximumSegmentLength = 255;
/** A leading dot is refused too: it keeps '.' and '..' out, and leaves hidden names to the store itself. */
const segmentPattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

/** True for segments of `A-Z a-z 0-9 . _ -` joined by '/', none beginning with a dot. */
export function isKey(key: string): boolean {
  return (
    key.length <= maximumKeyLength &&
    key.split('/').every((segment) => segment.length <= maximumSegmentLength && segmentPattern.test(segment))
  );
}

/** Returns the key; Failure 'invalid' when it is not one. */
export function checkKey(key: string): string {
  if (!isKey(key)) {
    throw new Failure(
      'invalid',
      `The object key ${JSON.stringify(key.slice(0, 80))} is not allowed: expected segments of letters, digits, '.', '_' and '-' joined by '/', none beginning with '.'.`,
    );
  }
  return key;
}

/** A prefix for listing: the beginning of a key, or nothing. */
export function checkPrefix(prefix: string): string {
  if (prefix !== '') checkKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix);
  return prefix;
}

export function checkRange(range: ByteRange): ByteRange {
  const { offset, length } = range;
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw new Failure(
      'invalid',
      `The byte range (offset ${offset}, length ${length}) is not one: expected whole numbers from 0.`,
    );
  }
  return range;
}

/** The range of a `readRange`, which is held in memory. */
export function checkSmallRange(key: string, range: ByteRange): ByteRange {
  if (checkRange(range).length > maximumRangeLength) {
    throw new Failure(
      'too-large',
      `A range of ${range.length} bytes of the object ${key} is more than is held in memory at once: read it as a stream.`,
    );
  }
  return range;
}

export function rangeOutside(key: string, range: ByteRange, length: number): Failure {
  return new Failure(
    'invalid',
    `The byte range (offset ${range.offset}, length ${range.length}) does not lie inside the object ${key} of ${length} bytes.`,
  );
}
