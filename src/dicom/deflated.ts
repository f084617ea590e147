/**
 * Inflates the data sets of Deflated Explicit VR Little Endian (PS3.5 A.5), within bounds.
 * Called by header-scan and data-set; the inflated bytes are Explicit VR Little Endian.
 */

import { constants, inflateRawSync } from 'node:zlib';

export const MAX_INFLATED_BYTES = 64 * 1024 * 1024;
/** Deflate grows by 1,032 at most: this much input always fits in MAX_INFLATED_BYTES. */
const SAFE_INPUT_BYTES = 60 * 1024;

export interface InflatedHead {
  bytes: Uint8Array;
  /** The stream reached its end within the bounds. */
  whole: boolean;
  fault?: string;
}

/**
 * The first part of a deflated data set, never more than MAX_INFLATED_BYTES.
 * `all` says that the compressed bytes are the whole stream, so that a missing end is a fault.
 */
export function inflateHead(compressed: Uint8Array, all: boolean): InflatedHead {
  if (all) {
    try {
      return { bytes: inflateRawSync(compressed, { maxOutputLength: MAX_INFLATED_BYTES }), whole: true };
    } catch (error) {
      if (!isTooLarge(error)) {
        const fault = 'the deflated data set is corrupt or its end is missing';
        return { bytes: inflatedSoFar(compressed), whole: false, fault };
      }
    }
  }
  return { bytes: inflatedSoFar(compressed), whole: false };
}

function inflatedSoFar(compressed: Uint8Array): Uint8Array {
  for (const input of [compressed, compressed.subarray(0, SAFE_INPUT_BYTES)]) {
    try {
      return inflateRawSync(input, {
        finishFlush: constants.Z_SYNC_FLUSH,
        maxOutputLength: MAX_INFLATED_BYTES,
      });
    } catch (error) {
      // Corrupt input stays corrupt when it is shortened only from far behind; nothing of it can be trusted.
      if (!isTooLarge(error)) return new Uint8Array(0);
    }
  }
  return new Uint8Array(0);
}

function isTooLarge(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
}
