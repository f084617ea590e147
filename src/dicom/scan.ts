/**
 * What a header scan found of an object: its kept values and the place of its pixels, and how to read them.
 * Made by header-scan.ts; archive/intake decides by it, the study index and the frame reader keep parts of it.
 */

import { attribute } from './attributes.ts';
import { characterSetOf, decodeText } from './charset.ts';
import { trimUid } from './uid.ts';

export interface PixelLocation {
  /** 7FE00010, 7FE00008 (float) or 7FE00009 (double). */
  readonly tag: string;
  /** As written; 'OW' in Implicit VR. */
  readonly vr: string;
  /** Where the element's header begins: the header part of the object ends here. */
  readonly elementOffset: number;
  /** Its first value byte; for encapsulated pixels the item header of the Basic Offset Table. */
  readonly offset: number;
  /** Value length in bytes; undefined when encapsulated. */
  readonly length: number | undefined;
  readonly encapsulated: boolean;
  /**
   * Value bytes of each fragment, item headers and Basic Offset Table left out.
   * Undefined when there are more than MAX_FRAGMENTS.
   */
  fragments?: { offsets: number[]; lengths: number[] };
  /** PS3.5 A.4: counted from the first fragment's item header (fragments.offsets[0] - 8). Empty when it is empty. */
  basicOffsetTable?: number[];
}

export interface Scan {
  /** Raw value bytes of the kept root elements by tag; of a repeated element the first. */
  readonly elements: ReadonlyMap<string, Uint8Array>;
  /** Bytes seen. */
  readonly length: number;
  /** Offsets count from the start of the data set; in a deflated one, from the start of the inflated bytes. */
  readonly pixelData?: PixelLocation;
  /** The walk reached the end of the data set exactly, without a fault. */
  readonly complete: boolean;
  /** One sentence without patient data. */
  readonly fault?: string;
  /** Kept root elements that came more than once. */
  readonly repeated: readonly string[];
  /** Deflated only: the object is longer than the part that is inflated, and was checked so far. */
  readonly partial: boolean;
}

const SPECIFIC_CHARACTER_SET = '00080005';

/** The text of a kept element, decoded, without padding and NULs; '' when the element is absent or empty. */
export function scanText(scan: Scan, tag: string): string {
  const value = scan.elements.get(tag);
  if (!value || value.length === 0) return '';
  const characterSet = characterSetOf(scan.elements.get(SPECIFIC_CHARACTER_SET));
  return decodeText(value, characterSet, attribute(tag)?.vr ?? 'LO').trim();
}

/** The UID in a kept element, unpadded and unchecked; undefined when the element is absent or empty. */
export function scanUid(scan: Scan, tag: string): string | undefined {
  const value = scan.elements.get(tag);
  if (!value) return undefined;
  return trimUid(Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1')) || undefined;
}
