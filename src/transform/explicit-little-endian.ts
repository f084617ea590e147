/**
 * Rewrites a data set in Explicit VR Little Endian, value for value, while its bytes pass by.
 * PS3.18 8.7.3 bars Implicit VR and Big Endian from DICOMweb: WADO sends what those were through here, and
 * everything else as it is stored. Sequences and items leave with undefined lengths, because their lengths change;
 * group lengths (retired) would be wrong and are left out, and so are zeros that pad the end.
 * The header of an object whose pixels are decoded (archive/decoded-object.ts) passes with edits of root elements.
 * For a peer over DIMSE that takes the default transfer syntax alone (PS3.5 10.1) it leaves in Implicit VR instead.
 */

import { attribute, label } from '../dicom/attributes.ts';
import { swapWords, wordSize } from '../dicom/byte-order.ts';
import { inflateHead, MAX_INFLATED_BYTES } from '../dicom/deflated.ts';
import {
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
} from '../dicom/element-header.ts';
import { transferSyntax } from '../dicom/transfer-syntax.ts';
import { Failure } from '../failure.ts';
import { ElementWriter } from './element-writer.ts';

type Kind = 'items' | 'elements' | 'fragments';

/** A sequence, item or run of fragments that the bytes are inside of. */
interface Container {
  readonly kind: Kind;
  readonly tag: number;
  /** Where it ends in the source; Infinity when a delimitation item says so. */
  readonly end: number;
  readonly implicit: boolean;
  readonly bigEndian: boolean;
}

/** In what it leaves; Explicit VR when not given. */
export interface Leaving {
  readonly implicit?: boolean;
}

/** Changes of root elements on the way; a replaced one is left out and inserted. */
export interface RootEdits {
  readonly leaveOut: ReadonlySet<string>;
  /** In the order of their tags; values of even length. */
  readonly insert: readonly { readonly tag: string; readonly vr: string; readonly value: Uint8Array }[];
}

const SQ = vrCode('SQ');
const UN = vrCode('UN');
const PIXEL_REPRESENTATION = tagNumber('00280103');
/** The longest value that fits a 16-bit length field. */
const MAX_SHORT_LENGTH = 0xfffe;

export class ExplicitLittleEndianConversion {
  /** The compressed bytes of a deflated data set, which has to be inflated first. */
  readonly #deflated: Uint8Array[] | undefined;
  #held = 0;
  readonly #stack: Container[];
  readonly #out: ElementWriter;
  readonly #carry = new Uint8Array(12);
  #carried = 0;
  /** Source bytes whose header or value has been dealt with. */
  #position = 0;
  #tag = 0;
  #remaining = 0;
  #wordSize = 1;
  /** Bytes of a word that a chunk cut in two. */
  readonly #word = Buffer.alloc(8);
  #wordBytes = 0;
  #leaveOut = false;
  #padding = false;
  #signed = false;
  readonly #toLeaveOut: ReadonlySet<string>;
  readonly #toInsert: RootEdits['insert'][number][];

  /** Failure 'unsupported' for encapsulated transfer syntaxes: to give those in Explicit VR LE is to decode them. */
  constructor(
    transferSyntaxUid: string,
    edits: RootEdits = { leaveOut: new Set(), insert: [] },
    { implicit: leavesImplicit = false }: Leaving = {},
  ) {
    this.#out = new ElementWriter({ implicit: leavesImplicit });
    this.#toLeaveOut = edits.leaveOut;
    this.#toInsert = [...edits.insert];
    const syntax = transferSyntax(transferSyntaxUid);
    if (syntax.encapsulated) {
      throw new Failure('unsupported', `${syntax.name} cannot be rewritten without decoding its pixels`);
    }
    if (syntax.deflated && leavesImplicit)
      throw new Failure('unsupported', `${syntax.name} becomes Explicit VR Little Endian first`);
    this.#deflated = syntax.deflated ? [] : undefined;
    const implicit = !syntax.explicit;
    this.#stack = [{ kind: 'elements', tag: 0, end: Infinity, implicit, bigEndian: syntax.bigEndian }];
  }

  /**
   * Takes the next bytes, in any chunking, and returns what they became; parts of it can be views on the chunk.
   * Failure 'invalid' when the bytes are broken, 'too-large' for a deflated data set beyond 64 MB.
   */
  push(chunk: Uint8Array): Uint8Array[] {
    if (this.#deflated) {
      this.#held += chunk.length;
      if (this.#held > MAX_INFLATED_BYTES) throw tooLarge();
      this.#deflated.push(new Uint8Array(chunk));
      return [];
    }
    let at = 0;
    while (at < chunk.length) {
      if (this.#remaining > 0) {
        const take = Math.min(this.#remaining, chunk.length - at);
        this.#value(chunk.subarray(at, at + take));
        at += take;
      } else if (this.#padding) {
        if (chunk[at++] !== 0)
          throw new Failure('invalid', 'bytes stand behind the zero padding of the data set');
      } else {
        if (this.#carried === 0) this.#closeEnded();
        this.#carry[this.#carried++] = chunk[at++]!;
        if (this.#carried === this.#headerSize()) this.#header();
      }
    }
    return this.#out.take();
  }

  /** The rest, once all bytes have been pushed. Failure 'invalid' when the data set is cut short. */
  end(): Uint8Array[] {
    if (this.#deflated) return [inflated(Buffer.concat(this.#deflated))];
    if (this.#carried === 0) this.#closeEnded();
    const isPadding = this.#carry.subarray(0, this.#carried).every((byte) => byte === 0);
    if (this.#remaining > 0 || this.#stack.length > 1 || !isPadding) {
      throw new Failure('invalid', `the data set is cut short behind ${label(tagText(this.#tag))}`);
    }
    this.#insertBefore(UNDEFINED_LENGTH);
    return this.#out.take();
  }

  get #here(): Container {
    return this.#stack.at(-1)!;
  }

  /** Bytes of the header that is being carried: at least 8, and 12 once the VR asks for it. */
  #headerSize(): number {
    const { kind, implicit, bigEndian } = this.#here;
    if (this.#carried < 8 || implicit || kind !== 'elements') return 8;
    if (readTag(this.#carry, 0, bigEndian) >> 16 === ITEM >> 16) return 8;
    return isLongForm(this.#vrBytes(), (this.#carry[6]! << 8) | this.#carry[7]!) ? 12 : 8;
  }

  #vrBytes(): number {
    return (this.#carry[4]! << 8) | this.#carry[5]!;
  }

  #header(): void {
    const size = this.#carried;
    const here = this.#here;
    this.#carried = 0;
    this.#position += size;
    if (this.#position > here.end)
      throw new Failure('invalid', `${label(tagText(here.tag))} ends inside a header`);
    const tag = readTag(this.#carry, 0, here.bigEndian);
    if (here.kind !== 'elements' || tag >> 16 === ITEM >> 16) {
      this.#delimiter(tag, readUint32(this.#carry, 4, here.bigEndian), here);
      return;
    }
    const vr = here.implicit ? 0 : this.#vrBytes();
    let length: number;
    if (here.implicit) length = readUint32(this.#carry, 4, here.bigEndian);
    else if (size === 12) length = readUint32(this.#carry, 8, here.bigEndian);
    else length = readUint16(this.#carry, 6, here.bigEndian);
    if (this.#stack.length === 1 && tag === 0 && length === 0 && this.#vrBytes() === 0) this.#padding = true;
    else if (!here.implicit && !isVrShaped(vr)) {
      throw new Failure('invalid', `${label(tagText(tag))} has no value representation`);
    } else this.#element(tag, vr, length, here);
  }

  /** `vr` as the source writes it, 0 in Implicit VR. */
  #element(tag: number, vr: number, length: number, here: Container): void {
    this.#tag = tag;
    if (this.#stack.length === 1) {
      this.#insertBefore(tag >>> 0);
      // Its value and all it holds; what comes next at the root is written again.
      this.#out.muted = this.#toLeaveOut.has(tagText(tag));
    }
    const known = vr === 0 ? this.#implicitVr(tag) : isKnownVr(vr) ? vr : UN;
    if (length === UNDEFINED_LENGTH) {
      if (tag === PIXEL_DATA || mayBeFragments(vr)) {
        this.#out.header(tag, known, UNDEFINED_LENGTH);
        this.#enter({ ...here, kind: 'fragments', tag, end: Infinity });
      } else {
        this.#out.header(tag, SQ, UNDEFINED_LENGTH);
        // CP-246 (PS3.5 6.2.2): what stands in a UN of undefined length is Implicit VR Little Endian.
        const within = vr === UN ? { implicit: true, bigEndian: false } : here;
        this.#enter({ ...within, kind: 'items', tag, end: Infinity });
      }
      return;
    }
    const end = this.#position + length;
    if (end > here.end)
      throw new Failure('invalid', `${label(tagText(tag))} is longer than what it stands in`);
    if (known === SQ && length > 0) {
      this.#out.header(tag, SQ, UNDEFINED_LENGTH);
      this.#enter({ ...here, kind: 'items', tag, end });
      return;
    }
    if (tag === PIXEL_REPRESENTATION) this.#signed = false;
    this.#leaveOut = (tag & 0xffff) === 0;
    // PS3.5 6.2.2: what is too long for its VR's length field is written as UN.
    const written = length > MAX_SHORT_LENGTH && !isLongForm(known, 0) ? UN : known;
    if (!this.#leaveOut) this.#out.header(tag, written, length);
    this.#begin(length, here.bigEndian ? wordSize(vrName(known)) : 1);
  }

  /** A header where only items and delimiters may stand, or a delimiter among elements. */
  #delimiter(tag: number, length: number, here: Container): void {
    if (tag === SEQUENCE_DELIMITATION && here.kind !== 'elements') {
      // Inside a sequence of known length it is one too many, and its end is known.
      if (here.end === Infinity) this.#leave();
      return;
    }
    if (tag === ITEM_DELIMITATION && here.kind === 'elements') {
      if (this.#stack.length > 1 && here.end === Infinity) this.#leave();
      return;
    }
    if (tag !== ITEM || here.kind === 'elements') {
      throw new Failure(
        'invalid',
        `${label(tagText(tag))} stands in ${label(tagText(here.tag))}, where it cannot`,
      );
    }
    const end = length === UNDEFINED_LENGTH ? Infinity : this.#position + length;
    if (end !== Infinity && end > here.end) {
      throw new Failure('invalid', `an item is longer than the ${label(tagText(here.tag))} it stands in`);
    }
    if (here.kind === 'items') {
      this.#out.header(ITEM, 0, UNDEFINED_LENGTH);
      this.#enter({ ...here, kind: 'elements', end });
      return;
    }
    if (length === UNDEFINED_LENGTH) throw new Failure('invalid', 'a fragment of Pixel Data has no length');
    this.#out.header(ITEM, 0, length);
    this.#leaveOut = false;
    this.#begin(length, 1);
  }

  #begin(length: number, size: number): void {
    this.#remaining = length;
    this.#wordSize = size;
    this.#wordBytes = 0;
  }

  #value(bytes: Uint8Array): void {
    this.#remaining -= bytes.length;
    this.#position += bytes.length;
    if (this.#leaveOut) return;
    // Of its two bytes one is zero in either order, and 1 is its only other value.
    if (this.#tag === PIXEL_REPRESENTATION && bytes.includes(1)) this.#signed = true;
    if (this.#wordSize === 1) {
      this.#out.value(bytes);
      return;
    }
    let rest = bytes;
    if (this.#wordBytes > 0) {
      const missing = Math.min(this.#wordSize - this.#wordBytes, rest.length);
      this.#word.set(rest.subarray(0, missing), this.#wordBytes);
      this.#wordBytes += missing;
      rest = rest.subarray(missing);
      if (this.#wordBytes === this.#wordSize) this.#turn(this.#word.subarray(0, this.#wordSize));
    }
    const whole = rest.length - (rest.length % this.#wordSize);
    if (whole > 0) this.#turn(rest.subarray(0, whole));
    if (rest.length > whole) {
      this.#word.set(rest.subarray(whole), 0);
      this.#wordBytes = rest.length - whole;
    }
    // A value that is no whole number of words keeps its last bytes as they are.
    if (this.#remaining === 0 && this.#wordBytes > 0)
      this.#out.value(Buffer.from(this.#word.subarray(0, this.#wordBytes)));
  }

  #turn(words: Uint8Array): void {
    this.#out.value(swapWords(Buffer.from(words), this.#wordSize));
    this.#wordBytes = 0;
  }

  /** Those whose place is before an element of the root. */
  #insertBefore(tag: number): void {
    this.#out.muted = false;
    while (this.#toInsert[0] && Number.parseInt(this.#toInsert[0].tag, 16) < tag) {
      const { tag: inserted, vr, value } = this.#toInsert.shift()!;
      this.#out.header(tagNumber(inserted), vrCode(vr), value.length);
      this.#out.value(value);
    }
  }

  /** Ends the containers of known length whose last byte has passed. */
  #closeEnded(): void {
    while (this.#stack.length > 1 && this.#here.end === this.#position) this.#leave();
  }

  #enter(container: Container): void {
    if (this.#stack.length > MAX_DEPTH) {
      throw new Failure(
        'invalid',
        `${label(tagText(container.tag))} is nested deeper than ${MAX_DEPTH} levels`,
      );
    }
    this.#stack.push(container);
  }

  #leave(): void {
    const left = this.#stack.pop()!;
    this.#out.header(left.kind === 'elements' ? ITEM_DELIMITATION : SEQUENCE_DELIMITATION, 0, 0);
  }

  #implicitVr(tag: number): number {
    const known = attribute(tagText(tag));
    if (!known) return UN;
    return vrCode(this.#signed && known.vr === 'US' && known.orVr?.includes('SS') ? 'SS' : known.vr);
  }
}

function inflated(compressed: Uint8Array): Uint8Array {
  const { bytes, whole, fault } = inflateHead(compressed, true);
  if (fault !== undefined) throw new Failure('invalid', fault);
  if (!whole) throw tooLarge();
  return bytes;
}

function tooLarge(): Failure {
  return new Failure(
    'too-large',
    `a deflated data set is inflated up to ${MAX_INFLATED_BYTES} bytes, this one is longer`,
  );
}
