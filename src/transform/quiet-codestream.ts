/**
 * Overwrites what compressed frames say beside the picture, as they pass: comments and application segments of JPEG and
 * JPEG-LS (ITU-T T.81 B.2.4, T.87 C.2), comments of JPEG 2000 and HTJ2K and the boxes of a JP2 file around them
 * (ITU-T T.800 Annexes A and I), and whatever stands behind the end of a frame. Zeros take their place, so every length
 * and offset stays right. Called by pixels-only.ts with the bytes of the fragments.
 */
import { Failure } from '../failure.ts';

type Family = 'jpeg' | 'jpeg-2000';

const FAMILIES: readonly (readonly [RegExp, Family])[] = [
  [/^1\.2\.840\.10008\.1\.2\.4\.(5\d|6[0-6]|70|80|81)$/, 'jpeg'],
  [/^1\.2\.840\.10008\.1\.2\.4\.(9[0-3]|20[1-3])$/, 'jpeg-2000'],
];

/** Frames that have no place for words: RLE, deflated ones, and samples as they are. */
const WORDLESS = /^1\.2\.840\.10008\.1\.2\.(5|8\.1|1\.98)$/;

type State =
  /** Before a codestream, or the boxes around it. */
  | 'begin'
  | 'marker'
  | 'length'
  | 'payload'
  /** Entropy-coded data. */
  | 'coded'
  | 'box'
  /** Behind the end of a frame. */
  | 'over';

/** What of a payload stays: bytes that begin with `id`, up to `length`; the rest becomes zeros. */
interface Kept {
  readonly id: string;
  readonly length: number;
}

const ALL: Kept = { id: '', length: Number.POSITIVE_INFINITY };
const NOTHING: Kept = { id: '', length: 0 };
/** Decoders take colour from these: JFIF without its thumbnail, HP's colour transform of JPEG-LS, Adobe's of JPEG. */
const APPLICATION: Readonly<Record<number, Kept>> = {
  224: { id: 'JFIF\0', length: 14 },
  232: { id: 'mrfx', length: 5 },
  238: { id: 'Adobe', length: 12 },
};
const COM = 0xfe;
const SOS = 0xda;
/** SOI and EOI of JPEG; EOC of JPEG 2000 is the same code. */
const SOI = 0xd8;
const END = 0xd9;
const J2K = { SOC: 0x4f, SIZ: 0x51, COM: 0x64, SOT: 0x90, SOP: 0x91, SOD: 0x93 };
const J2K_START = [0xff, J2K.SOC, 0xff, J2K.SIZ];
/** Boxes of a JP2 file that decoding needs. */
const BOXES = new Set(['jP  ', 'ftyp', 'jp2h']);

/** Whether compressed frames may say more than a picture where nothing overwrites it: video, JPEG XL, what is not known. */
export function isUnfollowed(transferSyntaxUid: string): boolean {
  return !FAMILIES.some(([uids]) => uids.test(transferSyntaxUid)) && !WORDLESS.test(transferSyntaxUid);
}

export class QuietCodestream {
  readonly #family: Family;
  #state: State = 'begin';
  /** Bytes of a length, a box header or a start, until there are enough. */
  #gathered: number[] = [];
  #code = 0;
  #remaining = 0;
  #position = 0;
  #kept: Kept = ALL;
  /** The identifier has come as expected so far. */
  #matches = true;
  /** The last byte was FF. */
  #afterFF = false;
  /** How much of the start of a codestream this fragment has begun with; -1 when it has not. */
  #started = -1;

  private constructor(family: Family) {
    this.#family = family;
  }

  /** @returns undefined for transfer syntaxes whose frames have no such segments, or are not followed here */
  static for(transferSyntaxUid: string): QuietCodestream | undefined {
    const family = FAMILIES.find(([uids]) => uids.test(transferSyntaxUid))?.[1];
    return family && new QuietCodestream(family);
  }

  /** A frame may have several. */
  beginFragment(): void {
    if (this.#state === 'over') this.#become('begin');
    this.#started = 0;
  }

  /** Of one fragment, in order; written to. @throws Failure 'invalid' when they cannot be followed */
  pass(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) at = this.#step(bytes, at);
  }

  /** @returns where to go on */
  #step(bytes: Uint8Array, at: number): number {
    switch (this.#state) {
      case 'begin':
        return this.#begin(bytes[at]!) ? at + 1 : at;
      case 'marker':
        this.#marker(bytes[at]!);
        return at + 1;
      case 'length':
        this.#gathered.push(bytes[at]!);
        if (this.#gathered.length === 2) this.#segment((this.#gathered[0]! << 8) | this.#gathered[1]!);
        return at + 1;
      case 'payload':
        return this.#payload(bytes, at);
      case 'coded':
        return this.#coded(bytes, at);
      case 'box':
        this.#box(bytes[at]!);
        return at + 1;
      case 'over':
        if (this.#beginsAgain(bytes, at)) throw broken('a fragment holds more than one frame');
        bytes.fill(0, at);
        return bytes.length;
    }
  }

  #become(state: State): void {
    this.#state = state;
    this.#gathered = [];
    this.#afterFF = false;
  }

  /** @returns whether the byte was taken */
  #begin(byte: number): boolean {
    if (this.#family === 'jpeg-2000' && this.#gathered.length === 0 && byte === 0) {
      this.#become('box');
      return false;
    }
    this.#gathered.push(byte);
    if (this.#gathered.length < 2) return true;
    const start = this.#family === 'jpeg' ? SOI : J2K.SOC;
    if (this.#gathered[0] !== 0xff || byte !== start) throw broken('a frame does not begin as one');
    this.#become('marker');
    return true;
  }

  #marker(byte: number): void {
    if (!this.#afterFF) {
      if (byte !== 0xff) throw broken('there is no marker where one has to be');
      this.#afterFF = true;
    } else if (byte !== 0xff) this.#take(byte);
  }

  #take(code: number): void {
    this.#code = code;
    if (code === END) this.#become('over');
    else if (this.#family === 'jpeg-2000' && code === J2K.SOD) this.#become('coded');
    else if (this.#isAlone(code)) this.#become('marker');
    else this.#become('length');
  }

  /** Markers without a length. */
  #isAlone(code: number): boolean {
    if (this.#family === 'jpeg') return code === 0x01 || (code >= 0xd0 && code <= SOI);
    return (code >= 0x30 && code <= 0x3f) || code === J2K.SOC || code === 0x92;
  }

  #segment(length: number): void {
    if (length < 2) throw broken('a segment has no length');
    this.#expect(length - 2, this.#family === 'jpeg' ? keptOfJpeg(this.#code) : keptOfJpeg2000(this.#code));
  }

  #expect(length: number, kept: Kept): void {
    this.#become('payload');
    this.#remaining = length;
    this.#position = 0;
    this.#kept = kept;
    this.#matches = true;
    if (length === 0) this.#segmentEnded();
  }

  #payload(bytes: Uint8Array, at: number): number {
    const end = Math.min(bytes.length, at + this.#remaining);
    const { id, length } = this.#kept;
    if (length === Number.POSITIVE_INFINITY) this.#position += end - at;
    else
      for (let each = at; each < end; each++, this.#position++) {
        if (this.#position < id.length) this.#matches &&= bytes[each] === id.charCodeAt(this.#position);
        if (!this.#matches || this.#position >= length) bytes[each] = 0;
      }
    this.#remaining -= end - at;
    if (this.#remaining === 0) this.#segmentEnded();
    return end;
  }

  #segmentEnded(): void {
    if (this.#code === BOX) this.#become('box');
    else if (this.#code === (this.#family === 'jpeg' ? SOS : J2K.SOP)) this.#become('coded');
    else this.#become('marker');
  }

  #coded(bytes: Uint8Array, from: number): number {
    let at = from;
    if (this.#family === 'jpeg-2000' && this.#started >= 0) {
      // A frame that lacks its end, and the next one.
      if (bytes[at] !== J2K_START[this.#started]) this.#started = -1;
      else if (++this.#started === J2K_START.length) {
        this.#started = -1;
        this.#take(J2K.SIZ);
        return at + 1;
      }
    }
    if (!this.#afterFF && bytes[at] !== 0xff) {
      if (this.#started >= 0) return at + 1;
      at = bytes.indexOf(0xff, at);
      if (at < 0) return bytes.length;
    }
    const byte = bytes[at]!;
    if (!this.#afterFF) this.#afterFF = true;
    else if (this.#isMarker(byte)) this.#take(byte);
    else this.#afterFF = byte === 0xff;
    return at + 1;
  }

  /** No other codes stand behind FF in coded data (T.81 B.1.1.5, T.87 C.1, T.800 A.1). */
  #isMarker(byte: number): boolean {
    if (this.#family === 'jpeg') return byte >= 0x80 && byte !== 0xff && (byte < 0xd0 || byte > 0xd7);
    return byte === J2K.SOT || byte === J2K.SOP || byte === END;
  }

  /** Header of a box: length, type, and a longer length where the first says 1. */
  #box(byte: number): void {
    this.#gathered.push(byte);
    const head = Buffer.from(this.#gathered);
    if (head.length < 8) return;
    const [short, type] = [head.readUInt32BE(0), head.toString('latin1', 4, 8)];
    if (short === 1 && head.length < 16) return;
    if (type === 'jp2c') {
      this.#become('begin');
      return;
    }
    const length = short === 1 ? Number(head.readBigUInt64BE(8)) : short;
    if (length < head.length) throw broken('a box has no length');
    this.#code = BOX;
    this.#expect(length - head.length, BOXES.has(type) ? ALL : NOTHING);
  }

  #beginsAgain(bytes: Uint8Array, at: number): boolean {
    const start = this.#family === 'jpeg' ? [0xff, SOI, 0xff] : J2K_START;
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(Buffer.from(start), at) >= 0;
  }
}

/** Stands for a box where codes of markers stand. */
const BOX = 0x100;

function keptOfJpeg(code: number): Kept {
  if (code === COM) return NOTHING;
  return code >= 0xe0 && code <= 0xef ? (APPLICATION[code] ?? NOTHING) : ALL;
}

const keptOfJpeg2000 = (code: number): Kept => (code === J2K.COM ? NOTHING : ALL);

function broken(what: string): Failure {
  return new Failure('invalid', `its compressed pixels cannot be followed: ${what}`);
}
