/**
 * One scan of a JPEG-LS frame (ITU-T T.87 Annex A, with the interleaving of Annex B): Golomb codes to samples.
 * Called by jpeg-ls.ts. Variables are named as in T.87; the two run contexts stand at the end of the others.
 */
import { Failure } from '../failure.ts';
import { scanBits } from './jpeg-ls-bits.ts';

export interface ScanCoding {
  readonly near: number;
  readonly maxval: number;
  readonly t1: number;
  readonly t2: number;
  readonly t3: number;
  readonly reset: number;
}

export interface ScanOf extends ScanCoding {
  readonly rows: number;
  readonly columns: number;
  readonly components: number;
  /** Interleaved by sample; otherwise by line, or one component. */
  readonly isBySample: boolean;
  /** Lines after which coding begins anew; 0 for never. */
  readonly restartLines: number;
  /** Samples by pixel, `stride` a pixel, the scan's own from `first` on. */
  readonly into: Uint8Array | Uint16Array;
  readonly first: number;
  readonly stride: number;
}

const CONTEXTS = 365;
/** Beyond what the widest samples lead to; only broken bytes come here. */
const MAX_K = 24;
const J = [
  0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15,
];

/** @returns where the next marker stands. @throws Failure 'invalid' for bytes that are cut short or mean nothing */
export function decodeScan(bytes: Uint8Array, from: number, of: ScanOf): number {
  const { near, maxval, t1, t2, t3, reset, columns, components, into, stride } = of;
  const step = 2 * near + 1;
  const range = Math.floor((maxval + 2 * near) / step) + 1;
  const qbpp = Math.ceil(Math.log2(range));
  const bpp = Math.max(2, Math.ceil(Math.log2(maxval + 1)));
  const limit = 2 * (bpp + Math.max(8, bpp));
  /** Zeros before a code that says its value outright. */
  const direct = limit - qbpp - 1;
  const whole = range * step;
  const canTurn = near === 0 ? -1 : 0;
  // A, B, C and N of a context side by side: they are used together.
  const contexts = new Int32Array((CONTEXTS + 2) * 4);
  const Nn = new Int32Array(2);
  const runIndexes = new Int32Array(components);
  const quantized = gradients(maxval, near, t1, t2, t3);
  // A sample more on either side of a line, for the neighbours at the edges (A.2.1).
  let previous = Array.from({ length: components }, () => new Int32Array(columns + 2));
  let current = Array.from({ length: components }, () => new Int32Array(columns + 2));
  let { words, length, end } = scanBits(bytes, from);
  let position = 0;

  /** The next 32 bits. */
  function ahead(): number {
    const word = position >>> 5;
    return (words[word]! << (position & 31)) | ((words[word + 1]! >>> 1) >>> (31 - (position & 31)));
  }

  function read(count: number): number {
    if (count === 0) return 0;
    const value = ahead() >>> (32 - count);
    position += count;
    return value;
  }

  /** A.5.3 */
  function golomb(k: number, longest: number): number {
    let zeros = 0;
    for (let more = 32; more === 32; zeros += more) {
      if (position > length) throw cutShort();
      if (zeros > longest) break;
      more = Math.clz32(ahead());
      position += more;
    }
    position++;
    if (zeros < longest - qbpp - 1) return (zeros << k) | read(k);
    if (zeros > longest - qbpp - 1)
      throw new Failure('invalid', 'The JPEG-LS frame is broken: a code is too long');
    return read(qbpp) + 1;
  }

  function reconstructed(predicted: number, error: number): number {
    const value = predicted + error * step;
    const within = value < -near ? value + whole : value > maxval + near ? value - whole : value;
    return within < 0 ? 0 : Math.min(within, maxval);
  }

  /**
   * Samples from `from` on by their neighbours and contexts (A.3 to A.6), up to the first whose neighbours are all
   * alike where that means a run, or `to`. This loop takes the time: what it reads is in variables of its own, and what
   * goes either way as often as not is a mask of the sign (x >> 31 is -1 below zero), since a wrong guess costs more.
   * @returns where it stopped
   */
  function regularSamples(line: Int32Array, above: Int32Array, from: number, to: number, isToRun: boolean) {
    const bitsAhead = words;
    let at = position;
    let x = from;
    let ra = line[x - 1]!;
    let rc = above[x - 1]!;
    let rb = above[x]!;
    // The gradient of the two above is the one ahead of the sample before.
    let behind = quantized[rb - rc + maxval]!;
    for (; x < to; x++) {
      const rd = above[x + 1]!;
      const ahead = quantized[rd - rb + maxval]!;
      const q = 81 * ahead + 9 * behind + quantized[rc - ra + maxval]!;
      if (q === 0 && isToRun) break;
      const sign = q >> 31;
      const Q = ((q ^ sign) - sign) << 2;
      let a = contexts[Q]!;
      let b = contexts[Q + 1]!;
      let c = contexts[Q + 2]!;
      let n = contexts[Q + 3]!;
      // Ra + Rb - Rc, at least the lesser of Ra and Rb and at most the greater (A.4.1).
      const below = (ra - rb) & ((ra - rb) >> 31);
      const overLesser = ra - rc - below;
      const greater = ra - below;
      const overGreater = rb + below + (overLesser & ~(overLesser >> 31)) - greater;
      let px = greater + (overGreater & (overGreater >> 31)) + ((c ^ sign) - sign);
      if (px < 0) px = 0;
      else if (px > maxval) px = maxval;
      const k = golombParameter(n, a);
      const word = at >>> 5;
      const bits = (bitsAhead[word]! << (at & 31)) | ((bitsAhead[word + 1]! >>> 1) >>> (31 - (at & 31)));
      const zeros = Math.clz32(bits);
      let mapped: number;
      if (zeros + k < 31 && zeros < direct) {
        at += zeros + 1 + k;
        mapped = (zeros << k) | (((bits << (zeros + 1)) >>> 1) >>> (31 - k));
      } else {
        position = at;
        mapped = golomb(k, limit);
        at = position;
      }
      const isTurned = ((2 * b + n - 1) >> 31) & ((k - 1) >> 31) & canTurn;
      const error = (mapped >>> 1) ^ -(mapped & 1) ^ isTurned;
      b += error * step;
      a += (error ^ (error >> 31)) - (error >> 31);
      if (n === reset) {
        a >>= 1;
        b >>= 1;
        n >>= 1;
      }
      n++;
      const isLow = (b + n - 1) >> 31;
      const isHigh = -b >> 31;
      b += (n & isLow) - (n & isHigh);
      c += isLow - isHigh;
      if (c < -128) c = -128;
      else if (c > 127) c = 127;
      if (b <= -n) b = 1 - n;
      else if (b > 0) b = 0;
      contexts[Q] = a;
      contexts[Q + 1] = b;
      contexts[Q + 2] = c;
      contexts[Q + 3] = n;
      ra = reconstructed(px, (error ^ sign) - sign);
      line[x] = ra;
      rc = rb;
      rb = rd;
      behind = ahead;
    }
    position = at;
    return x;
  }

  /** A.7.2: the sample that ends a run; `type` 1 when its neighbours are alike. */
  function interruption(type: 0 | 1, ra: number, rb: number, runIndex: number): number {
    const Q = (CONTEXTS + type) << 2;
    let a = contexts[Q]!;
    let n = contexts[Q + 3]!;
    const k = golombParameter(n, type === 1 ? a + (n >> 1) : a);
    const mapped = golomb(k, limit - J[runIndex]! - 1);
    const twice = mapped + type;
    const odd = twice & 1;
    const size = (twice + odd) >> 1;
    const isNegative = (k !== 0 || 2 * Nn[type]! >= n) === (odd === 1);
    const error = isNegative ? -size : size;
    if (error < 0) Nn[type]!++;
    a += (mapped + 1 - type) >> 1;
    if (n === reset) {
      a >>= 1;
      n >>= 1;
      Nn[type]! >>= 1;
    }
    contexts[Q] = a;
    contexts[Q + 3] = n + 1;
    return type === 1 ? reconstructed(ra, error) : reconstructed(rb, ra > rb ? -error : error);
  }

  /** A.7.1: how many samples repeat the one before them, at most `most`. */
  function runLength(most: number, component: number): number {
    let run = 0;
    let runIndex = runIndexes[component]!;
    while (read(1) === 1) {
      const whole = 1 << J[runIndex]!;
      const part = Math.min(whole, most - run);
      run += part;
      if (part === whole && runIndex < 31) runIndex++;
      if (run === most) break;
    }
    if (run < most) {
      run += read(J[runIndex]!);
      if (run > most) throw new Failure('invalid', 'The JPEG-LS frame is broken: a run leaves its line');
    }
    runIndexes[component] = runIndex;
    return run;
  }

  function decodeLine(component: number): void {
    const above = previous[component]!;
    const line = current[component]!;
    for (let x = 1; x <= columns; x++) {
      x = regularSamples(line, above, x, columns + 1, true);
      if (x > columns) return;
      const ra = line[x - 1]!;
      const run = runLength(columns - x + 1, component);
      line.fill(ra, x, x + run);
      x += run;
      if (x > columns) return;
      const rb = above[x]!;
      line[x] = interruption(Math.abs(ra - rb) <= near ? 1 : 0, ra, rb, runIndexes[component]!);
      if (runIndexes[component]! > 0) runIndexes[component]!--;
    }
  }

  /** A run lasts while all components repeat themselves; what ends it is coded as of neighbours unlike (B.3). */
  function decodePixelsOfLine(): void {
    for (let x = 1; x <= columns; x++) {
      if (!areAllAlike(x)) {
        for (let c = 0; c < components; c++) regularSamples(current[c]!, previous[c]!, x, x + 1, false);
        continue;
      }
      const run = runLength(columns - x + 1, 0);
      for (const line of current) line.fill(line[x - 1]!, x, x + run);
      x += run;
      if (x > columns) return;
      for (let c = 0; c < components; c++)
        current[c]![x] = interruption(0, current[c]![x - 1]!, previous[c]![x]!, runIndexes[0]!);
      if (runIndexes[0]! > 0) runIndexes[0]!--;
    }
  }

  /** Whether the neighbours of a sample are alike in every component, within NEAR. */
  function areAllAlike(x: number): boolean {
    for (let c = 0; c < components; c++) {
      const [above, line] = [previous[c]!, current[c]!];
      const [ra, rb, rc, rd] = [line[x - 1]!, above[x]!, above[x - 1]!, above[x + 1]!];
      if (quantized[rd - rb + maxval] || quantized[rb - rc + maxval] || quantized[rc - ra + maxval])
        return false;
    }
    return true;
  }

  /** A.2, at the beginning and after each restart marker. */
  function begin(): void {
    for (const zero of [contexts, Nn, runIndexes, ...previous, ...current]) zero.fill(0);
    for (let at = 0; at < contexts.length; at += 4) {
      contexts[at] = Math.max(2, (range + 32) >> 6);
      contexts[at + 3] = 1;
    }
  }

  begin();
  for (let y = 0; y < of.rows; y++) {
    if (of.restartLines > 0 && y > 0 && y % of.restartLines === 0) {
      if ((bytes[end + 1]! & 0xf8) !== 0xd0) throw cutShort();
      ({ words, length, end } = scanBits(bytes, end + 2));
      position = 0;
      begin();
    }
    for (let c = 0; c < components; c++) {
      current[c]![0] = previous[c]![1]!;
      previous[c]![columns + 1] = previous[c]![columns]!;
    }
    if (of.isBySample) decodePixelsOfLine();
    else for (let c = 0; c < components; c++) decodeLine(c);
    // Behind the last bit there are zeros to be read, as far as the line's end but no further.
    if (position > length) throw cutShort();
    for (let c = 0; c < components; c++)
      place(current[c]!, columns, into, y * columns * stride + of.first + c, stride);
    [previous, current] = [current, previous];
  }
  return end;
}

/** A.5.1: the least k for which n times 2^k is no less than a. */
function golombParameter(n: number, a: number): number {
  const wider = Math.clz32(n) - Math.clz32(a);
  const k = wider & ~(wider >> 31);
  return Math.min(MAX_K, k + (((n << k) - a) >>> 31));
}

/** Each difference of two neighbours as one of nine regions (A.3.3), by difference + maxval. */
function gradients(maxval: number, near: number, t1: number, t2: number, t3: number): Int8Array {
  const regions = new Int8Array(2 * maxval + 1);
  const bounds = [near + 1, t1, t2, t3, maxval + 1].map((bound) => Math.min(bound, maxval + 1));
  for (let region = 1; region <= 4; region++) {
    const [from, to] = [bounds[region - 1]!, bounds[region]!];
    if (from >= to) continue;
    regions.fill(region, maxval + from, maxval + to);
    regions.fill(-region, maxval - to + 1, maxval - from + 1);
  }
  return regions;
}

/** One line of one component to its places among the others. */
function place(
  line: Int32Array,
  columns: number,
  into: Uint8Array | Uint16Array,
  first: number,
  stride: number,
) {
  for (let x = 1, to = first; x <= columns; x++, to += stride) into[to] = line[x]!;
}

const cutShort = (): Failure => new Failure('invalid', 'The JPEG-LS frame is cut short');
