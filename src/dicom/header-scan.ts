/**
 * Reads a data set's identity and the place of its pixels while the bytes pass by, in any chunking.
 * Called by archive/intake for every object on its way to the journal, and by STOW for every part; the Scan
 * goes on to the study index. It keeps a few small values and twelve bytes of carry, never the pixels.
 * It never throws on bad bytes: what was read stays, and the fault says where the reading ended.
 */

import { label } from './attributes.ts';
import { inflateHead } from './deflated.ts';
import {
  DOUBLE_FLOAT_PIXEL_DATA,
  FLOAT_PIXEL_DATA,
  ITEM,
  ITEM_DELIMITATION,
  isKnownVr,
  isLongForm,
  isVrShaped,
  MAX_DEPTH,
  mayBeFragments,
  PIXEL_DATA,
  readTag,
  readUint16,
  readUint32,
  SEQUENCE_DELIMITATION,
  tagNumber,
  tagText,
  UNDEFINED_LENGTH,
  vrCode,
  vrName,
} from './element-header.ts';
import type { PixelLocation, Scan } from './scan.ts';
import { EXPLICIT_LE, transferSyntax } from './transfer-syntax.ts';

export type { PixelLocation, Scan } from './scan.ts';
export { scanText, scanUid } from './scan.ts';

export interface HeaderScanOptions {
  keep?: ReadonlySet<string> | 'identity';
  /** Longer values are passed over (default 65,536). */
  maxValueBytes?: number;
}

export const MAX_FRAGMENTS = 65_536;

const IDENTITY = numbers([
  '00080005',
  '00080016',
  '00080018',
  '0020000D',
  '0020000E',
  '00100010',
  '00100020',
  '00100021',
  '00080050',
  '00080060',
  '00280008',
]);
const EXTENDED_OFFSET_TABLE = tagNumber('7FE00001');
const EXTENDED_OFFSET_TABLE_LENGTHS = tagNumber('7FE00002');
const SQ = vrCode('SQ');
const UN = vrCode('UN');
const OW = vrCode('OW');

const DATA_SET = 0;
const SEQUENCE = 1;
const FRAGMENTS = 2;
const MODE = 3;
const IMPLICIT = 4;
const BIG_ENDIAN = 8;

/** A level of nesting is a sequence and an item in it. */
const MAX_CONTAINERS = 2 * MAX_DEPTH;

/** What the bytes being taken are for. */
const NOTHING = 0;
const VALUE = 1;
const OFFSET_TABLE = 2;

export class HeaderScan {
  readonly #deflated: DeflatedBytes | undefined;
  readonly #keep: ReadonlySet<number>;
  readonly #options: HeaderScanOptions;
  readonly #maxValueBytes: number;
  readonly #elements = new Map<string, Uint8Array>();
  readonly #repeated: string[] = [];
  readonly #carry = new Uint8Array(12);
  #carried = 0;
  #length = 0;
  #pixelData: PixelLocation | undefined;
  #fault: string | undefined;
  #padding = false;
  /** Bytes of the current value still to come, and where they go. */
  #remaining = 0;
  #purpose = NOTHING;
  #value: Uint8Array | undefined;
  #tag = 0;
  #valueLength = 0;
  /** What surrounds the next header: only containers of undefined length, the others are passed over whole. */
  #state: number;
  #depth = 0;
  #states: Uint8Array | undefined;
  #tags: Int32Array | undefined;
  /** Items seen in the root's encapsulated Pixel Data; -1 elsewhere. */
  #items = -1;

  constructor(transferSyntaxUid: string, options: HeaderScanOptions = {}) {
    const syntax = transferSyntax(transferSyntaxUid);
    this.#options = options;
    this.#maxValueBytes = options.maxValueBytes ?? 65_536;
    this.#keep = options.keep === undefined || options.keep === 'identity' ? IDENTITY : numbers(options.keep);
    this.#state = (syntax.explicit ? 0 : IMPLICIT) | (syntax.bigEndian ? BIG_ENDIAN : 0);
    this.#deflated = syntax.deflated ? new DeflatedBytes() : undefined;
  }

  /** Takes the next bytes of the data set; keeps no reference to the chunk. */
  push(chunk: Uint8Array): void {
    const base = this.#length;
    const end = chunk.length;
    this.#length += end;
    if (this.#deflated) {
      this.#deflated.push(chunk);
      return;
    }
    let at = 0;
    while (at < end && this.#fault === undefined) {
      if (this.#remaining > 0) {
        const take = Math.min(this.#remaining, end - at);
        if (this.#value) this.#value.set(chunk.subarray(at, at + take), this.#value.length - this.#remaining);
        this.#remaining -= take;
        at += take;
        if (this.#remaining === 0) this.#finishValue();
      } else if (this.#padding) {
        if (chunk[at] !== 0) this.#fault = `bytes after the zero padding at byte ${base + at}`;
        at++;
      } else if (this.#carried === 0 && this.#headerSize(chunk, at, end) > 0) {
        const size = this.#headerSize(chunk, at, end);
        this.#header(chunk, at, size, base + at);
        at += size;
      } else {
        this.#carry[this.#carried++] = chunk[at++]!;
        const size = this.#headerSize(this.#carry, 0, this.#carried);
        if (size > 0) {
          this.#carried = 0;
          this.#header(this.#carry, 0, size, base + at - size);
        }
      }
    }
  }

  /** Where the header part ends and Pixel Data begins, once that has been reached. */
  get headerEnd(): number | undefined {
    return this.#pixelData?.elementOffset;
  }

  /** What was read, once the last byte has been pushed. */
  end(): Scan {
    if (this.#deflated) return this.#deflated.scan(this.#length, this.#options);
    if (this.#fault === undefined) this.#fault = this.#faultAtEnd();
    const scan = {
      elements: this.#elements,
      length: this.#length,
      complete: this.#fault === undefined,
      repeated: this.#repeated,
      partial: false,
      ...(this.#pixelData && { pixelData: this.#pixelData }),
    };
    return this.#fault === undefined ? scan : { ...scan, fault: this.#fault };
  }

  /** Bytes of the header that begins at `at`: 8 or 12, or 0 when not all of it lies before `end`. */
  #headerSize(bytes: Uint8Array, at: number, end: number): number {
    if (end - at < 8) return 0;
    if ((this.#state & (IMPLICIT | MODE)) !== 0) return 8;
    const tag = readTag(bytes, at, (this.#state & BIG_ENDIAN) !== 0);
    if (tag >> 16 === ITEM >> 16) return 8;
    const vr = (bytes[at + 4]! << 8) | bytes[at + 5]!;
    if (!isLongForm(vr, (bytes[at + 6]! << 8) | bytes[at + 7]!)) return 8;
    return end - at < 12 ? 0 : 12;
  }

  #header(bytes: Uint8Array, at: number, size: number, offset: number): void {
    const bigEndian = (this.#state & BIG_ENDIAN) !== 0;
    const tag = readTag(bytes, at, bigEndian);
    const mode = this.#state & MODE;
    if (mode !== DATA_SET || tag >> 16 === ITEM >> 16) {
      this.#delimiter(tag, readUint32(bytes, at + 4, bigEndian), mode, offset);
      return;
    }
    const implicit = (this.#state & IMPLICIT) !== 0;
    const vrBytes = (bytes[at + 4]! << 8) | bytes[at + 5]!;
    let length: number;
    if (implicit) length = readUint32(bytes, at + 4, bigEndian);
    else if (size === 12) length = readUint32(bytes, at + 8, bigEndian);
    else length = readUint16(bytes, at + 6, bigEndian);

    if (this.#depth === 0 && tag === 0 && vrBytes === 0 && length === 0) {
      // Some writers pad the data set with zeros up to a block; (0000,0000) never stands in a data set.
      this.#padding = true;
      return;
    }
    if (!implicit && !isVrShaped(vrBytes)) {
      this.#fault = `${label(tagText(tag))} has no value representation where Explicit VR needs one`;
      return;
    }
    if (implicit && offset === 0 && length > 0x4000 && isKnownVr(vrBytes)) {
      this.#fault = `${label(tagText(tag))} is written in Explicit VR, but the transfer syntax is Implicit VR`;
      return;
    }
    this.#element(tag, implicit ? 0 : vrBytes, length, offset, size);
  }

  /** An element of a data set; `vr` is 0 in Implicit VR. */
  #element(tag: number, vr: number, length: number, offset: number, size: number): void {
    this.#tag = tag;
    const isPixels =
      this.#depth === 0 &&
      (tag === PIXEL_DATA || tag === FLOAT_PIXEL_DATA || tag === DOUBLE_FLOAT_PIXEL_DATA);
    if (length === UNDEFINED_LENGTH) {
      const fragments = tag === PIXEL_DATA || mayBeFragments(vr);
      if (!fragments && vr !== 0 && vr !== SQ && vr !== UN) {
        this.#fault = `${label(tagText(tag))} has an undefined length, which VR ${vrName(vr)} cannot have`;
        return;
      }
      // CP-246 (PS3.5 6.2.2): what stands in a UN of undefined length is Implicit VR Little Endian.
      const within = vr === UN && !fragments ? IMPLICIT : this.#state & ~MODE;
      this.#enter(tag, (fragments ? FRAGMENTS : SEQUENCE) | within);
      if (isPixels && fragments && this.#pixelData === undefined && this.#fault === undefined) {
        this.#pixelData = pixelLocation(tag, vr, offset, size, undefined);
        this.#pixelData.fragments = { offsets: [], lengths: [] };
        this.#items = 0;
      }
      return;
    }
    if (isPixels && this.#pixelData === undefined) {
      this.#pixelData = pixelLocation(tag, vr, offset, size, length);
    }
    if (this.#depth === 0 && this.#isKept(tag, length)) this.#take(VALUE, length);
    else this.#pass(length);
  }

  /** A header where only item tags may stand: inside a sequence or fragments, or a delimiter in a data set. */
  #delimiter(tag: number, length: number, mode: number, offset: number): void {
    if (mode === DATA_SET) {
      if (tag === ITEM_DELIMITATION && this.#depth > 0) this.#leave();
      else if (tag === ITEM || length !== 0 || this.#depth > 0) {
        this.#fault = `${label(tagText(tag))} stands among the elements at byte ${offset}`;
      }
      // A stray delimiter of no length at the root carries nothing and hides nothing: passed over, as DCMTK does.
      return;
    }
    if (tag === SEQUENCE_DELIMITATION) {
      this.#leave();
      return;
    }
    const parent = this.#tags![this.#depth - 1]!;
    if (tag !== ITEM) {
      this.#fault = `${label(tagText(tag))} stands in ${label(tagText(parent))} at byte ${offset} where an item was expected`;
      return;
    }
    if (mode === SEQUENCE) {
      if (length === UNDEFINED_LENGTH) this.#enter(parent, DATA_SET | (this.#state & ~MODE));
      else {
        this.#tag = parent;
        this.#pass(length);
      }
      return;
    }
    if (length === UNDEFINED_LENGTH) {
      this.#fault = `a fragment of ${label(tagText(parent))} has an undefined length at byte ${offset}`;
      return;
    }
    this.#tag = parent;
    if (this.#items < 0) this.#pass(length);
    else this.#fragment(offset + 8, length);
  }

  #fragment(offset: number, length: number): void {
    const first = this.#items++ === 0;
    if (first && length % 4 === 0 && length <= MAX_FRAGMENTS * 4) {
      this.#take(OFFSET_TABLE, length);
      return;
    }
    const fragments = this.#pixelData?.fragments;
    if (!first && fragments) {
      if (fragments.offsets.length === MAX_FRAGMENTS) delete this.#pixelData!.fragments;
      else {
        fragments.offsets.push(offset);
        fragments.lengths.push(length);
      }
    }
    this.#pass(length);
  }

  #isKept(tag: number, length: number): boolean {
    const isOffsets = tag === EXTENDED_OFFSET_TABLE || tag === EXTENDED_OFFSET_TABLE_LENGTHS;
    if (!isOffsets && !this.#keep.has(tag)) return false;
    if (length > (isOffsets ? MAX_FRAGMENTS * 8 : this.#maxValueBytes)) return false;
    const text = tagText(tag);
    if (!this.#elements.has(text)) return true;
    if (!this.#repeated.includes(text)) this.#repeated.push(text);
    return false;
  }

  #take(purpose: number, length: number): void {
    this.#purpose = purpose;
    this.#value = new Uint8Array(length);
    this.#valueLength = length;
    this.#remaining = length;
    if (length === 0) this.#finishValue();
  }

  #pass(length: number): void {
    this.#valueLength = length;
    this.#remaining = length;
  }

  #finishValue(): void {
    const value = this.#value;
    if (!value) return;
    if (this.#purpose === VALUE) this.#elements.set(tagText(this.#tag), value);
    else if (this.#pixelData) {
      const bigEndian = (this.#state & BIG_ENDIAN) !== 0;
      const table: number[] = [];
      for (let at = 0; at < value.length; at += 4) table.push(readUint32(value, at, bigEndian));
      this.#pixelData.basicOffsetTable = table;
    }
    this.#purpose = NOTHING;
    this.#value = undefined;
  }

  #enter(tag: number, state: number): void {
    if (this.#depth === MAX_CONTAINERS) {
      this.#fault = `${label(tagText(tag))} is nested deeper than ${MAX_DEPTH} levels`;
      return;
    }
    this.#states ??= new Uint8Array(MAX_CONTAINERS);
    this.#tags ??= new Int32Array(MAX_CONTAINERS);
    this.#states[this.#depth] = this.#state;
    this.#tags[this.#depth] = tag;
    this.#depth++;
    this.#state = state;
  }

  #leave(): void {
    this.#depth--;
    this.#state = this.#states![this.#depth]!;
    this.#items = -1;
  }

  #faultAtEnd(): string | undefined {
    if (this.#remaining > 0) {
      const present = this.#valueLength - this.#remaining;
      return `truncated inside ${label(tagText(this.#tag))}: ${present} bytes of ${this.#valueLength} present`;
    }
    if (
      this.#carried > 0 &&
      (this.#depth > 0 || this.#carry.subarray(0, this.#carried).some((byte) => byte !== 0))
    ) {
      const at = this.#length - this.#carried;
      if (this.#carried < 4) return `truncated inside an element's tag at byte ${at}`;
      const tag = readTag(this.#carry, 0, (this.#state & BIG_ENDIAN) !== 0);
      return `truncated inside the header of ${label(tagText(tag))} at byte ${at}`;
    }
    if (this.#depth > 0) {
      const tag = label(tagText(this.#tags![this.#depth - 1]!));
      return `truncated inside ${tag}: its delimitation item is missing`;
    }
    return undefined;
  }
}

/** The bounded first part of a deflated data set (PS3.5 A.5), scanned when the whole has passed. */
class DeflatedBytes {
  readonly #parts: Uint8Array[] = [];
  #held = 0;

  push(chunk: Uint8Array): void {
    const room = MAX_DEFLATED_BYTES - this.#held;
    if (room <= 0) return;
    const part = new Uint8Array(chunk.subarray(0, room));
    this.#parts.push(part);
    this.#held += part.length;
  }

  scan(length: number, options: HeaderScanOptions): Scan {
    const head = inflateHead(Buffer.concat(this.#parts), this.#held === length);
    const inner = new HeaderScan(EXPLICIT_LE, options);
    inner.push(head.bytes);
    const scan = inner.end();
    if (head.fault !== undefined) return { ...scan, length, complete: false, fault: head.fault };
    if (head.whole) return { ...scan, length };
    // Cut by our own bound, not by the sender: a value cut there is no fault of the object.
    const { fault: _cut, ...rest } = scan;
    return { ...rest, length, complete: true, partial: true };
  }
}

const MAX_DEFLATED_BYTES = 1024 * 1024;

function pixelLocation(
  tag: number,
  vr: number,
  elementOffset: number,
  headerSize: number,
  length: number | undefined,
): PixelLocation {
  return {
    tag: tagText(tag),
    vr: vrName(vr === 0 ? OW : vr),
    elementOffset,
    offset: elementOffset + headerSize,
    length,
    encapsulated: length === undefined,
  };
}

function numbers(tags: Iterable<string>): ReadonlySet<number> {
  const set = new Set<number>();
  for (const tag of tags) set.add(tagNumber(tag));
  return set;
}
