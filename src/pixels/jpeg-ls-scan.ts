/**
 * One scan of a JPEG-LS frame (ITU-T T.87 Annex A, with the interleaving of Annex B): Golomb codes to samples.
 * Called by jpeg-ls.ts. Variables are named as in T.87; A, B, C and N have the two run contexts at the end.
 */
import { Failure } from '../failure.ts';

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
  const A = new Int32Array(CONTEXTS + 2);
  const B = new Int32Array(CONTEXTS + 2);
  const C = new Int32Array(CONTEXTS + 2);
  const N = new Int32Array(CONTEXTS + 2);
  const Nn = new Int32Array(2);
  const runIndexes = new Int32Array(components);
  const quantized = gradients(maxval, near, t1, t2, t3);
  // A sample more on either side of a line, for the neighbours at the edges (A.2.1).
  let previous = Array.from({ length: components }, () => new Int32Array(columns + 2));
  let current = Array.from({ length: components }, () => new Int32Array(columns + 2));

  /** The bits ahead, from the top, and how many of them are real. */
  let at = from;
  let cache = 0;
  let bits = 0;
  let afterFF = false;

  /** A byte after 0xFF has seven bits (9.1 and A.1); one with its first bit set begins a marker. */
  function fill(): void {
    while (bits <= 24) {
      const byte = bytes[at];
      if (
        byte === undefined ||
        (afterFF && byte >= 0x80) ||
        (byte === 0xff && at + 1 < bytes.length && bytes[at + 1]! >= 0x80)
      )
        return;
      const width = afterFF ? 7 : 8;
      cache |= byte << (32 - width - bits);
      bits += width;
      afterFF = byte === 0xff;
      at++;
    }
  }

  function read(count: number): number {
    if (count === 0) return 0;
    if (bits < count) {
      fill();
      if (bits < count) throw cutShort();
    }
    const value = cache >>> (32 - count);
    cache <<= count;
    bits -= count;
    return value;
  }

  /** A.5.3 */
  function golomb(k: number, longest: number): number {
    let zeros = 0;
    for (;;) {
      if (bits < 25) fill();
      const ahead = Math.clz32(cache);
      if (ahead < bits) {
        zeros += ahead;
        cache <<= ahead;
        cache <<= 1;
        bits -= ahead + 1;
        break;
      }
      if (bits === 0) throw cutShort();
      zeros += bits;
      cache = 0;
      bits = 0;
      if (zeros > longest) break;
    }
    if (zeros < longest - qbpp - 1) return (zeros << k) | read(k);
    if (zeros > longest - qbpp - 1)
      throw new Failure('invalid', 'The JPEG-LS frame is broken: a code is too long');
    return read(qbpp) + 1;
  }

  function reconstructed(predicted: number, error: number): number {
    let value = predicted + error * step;
    if (value < -near) value += range * step;
    else if (value > maxval + near) value -= range * step;
    return Math.max(0, Math.min(maxval, value));
  }

  /** A.4 to A.6: a sample from its neighbours and its context. */
  function regular(q: number, ra: number, rb: number, rc: number): number {
    const sign = q < 0 ? -1 : 1;
    const Q = q < 0 ? -q : q;
    const [lower, upper] = ra < rb ? [ra, rb] : [rb, ra];
    let px = rc >= upper ? lower : rc <= lower ? upper : ra + rb - rc;
    px += sign * C[Q]!;
    if (px < 0) px = 0;
    else if (px > maxval) px = maxval;
    let n = N[Q]!;
    let a = A[Q]!;
    let b = B[Q]!;
    let k = 0;
    while (n << k < a && k < MAX_K) k++;
    const mapped = golomb(k, limit);
    let error = (mapped & 1) === 0 ? mapped >> 1 : -((mapped + 1) >> 1);
    if (near === 0 && k === 0 && 2 * b <= -n) error = -error - 1;
    b += error * step;
    a += error < 0 ? -error : error;
    if (n === reset) {
      a >>= 1;
      b >>= 1;
      n >>= 1;
    }
    n++;
    if (b <= -n) {
      b += n;
      if (C[Q]! > -128) C[Q]!--;
      if (b <= -n) b = -n + 1;
    } else if (b > 0) {
      b -= n;
      if (C[Q]! < 127) C[Q]!++;
      if (b > 0) b = 0;
    }
    A[Q] = a;
    B[Q] = b;
    N[Q] = n;
    return reconstructed(px, sign * error);
  }

  /** A.7.2: the sample that ends a run; `type` 1 when its neighbours are alike. */
  function interruption(type: 0 | 1, ra: number, rb: number, runIndex: number): number {
    const Q = CONTEXTS + type;
    const sum = type === 1 ? A[Q]! + (N[Q]! >> 1) : A[Q]!;
    let k = 0;
    while (N[Q]! << k < sum && k < MAX_K) k++;
    const mapped = golomb(k, limit - J[runIndex]! - 1);
    const twice = mapped + type;
    const odd = twice & 1;
    const size = (twice + odd) >> 1;
    const isNegative = (k !== 0 || 2 * Nn[type]! >= N[Q]!) === (odd === 1);
    const error = isNegative ? -size : size;
    if (error < 0) Nn[type]!++;
    A[Q]! += (mapped + 1 - type) >> 1;
    if (N[Q] === reset) {
      A[Q]! >>= 1;
      N[Q]! >>= 1;
      Nn[type]! >>= 1;
    }
    N[Q]!++;
    return type === 1 ? reconstructed(ra, error) : reconstructed(rb, ra > rb ? -error : error);
  }

  /** A.7.1: how many samples repeat the one before them, at most `most`. */
  function runLength(most: number, component: number): number {
    let length = 0;
    let runIndex = runIndexes[component]!;
    while (read(1) === 1) {
      const whole = 1 << J[runIndex]!;
      const run = Math.min(whole, most - length);
      length += run;
      if (run === whole && runIndex < 31) runIndex++;
      if (length === most) break;
    }
    if (length < most) {
      length += read(J[runIndex]!);
      if (length > most) throw new Failure('invalid', 'The JPEG-LS frame is broken: a run leaves its line');
    }
    runIndexes[component] = runIndex;
    return length;
  }

  function decodeLine(component: number): void {
    const above = previous[component]!;
    const line = current[component]!;
    let ra = line[0]!;
    let rc = above[0]!;
    let rb = above[1]!;
    for (let x = 1; x <= columns; ) {
      const rd = above[x + 1]!;
      const q =
        81 * quantized[rd - rb + maxval]! + 9 * quantized[rb - rc + maxval]! + quantized[rc - ra + maxval]!;
      if (q !== 0) {
        ra = regular(q, ra, rb, rc);
        line[x++] = ra;
        rc = rb;
        rb = rd;
        continue;
      }
      const length = runLength(columns - x + 1, component);
      line.fill(ra, x, x + length);
      x += length;
      if (x > columns) break;
      rb = above[x]!;
      ra = interruption(Math.abs(ra - rb) <= near ? 1 : 0, ra, rb, runIndexes[component]!);
      if (runIndexes[component]! > 0) runIndexes[component]!--;
      line[x++] = ra;
      rc = rb;
      rb = above[x]!;
    }
  }

  /** A run lasts while all components repeat themselves; what ends it is coded as of neighbours unlike (B.3). */
  function decodePixelsOfLine(): void {
    const q = new Int32Array(components);
    for (let x = 1; x <= columns; ) {
      let isRun = true;
      for (let c = 0; c < components; c++) {
        const [above, line] = [previous[c]!, current[c]!];
        const [ra, rb, rc, rd] = [line[x - 1]!, above[x]!, above[x - 1]!, above[x + 1]!];
        q[c] =
          81 * quantized[rd - rb + maxval]! + 9 * quantized[rb - rc + maxval]! + quantized[rc - ra + maxval]!;
        if (q[c] !== 0) isRun = false;
      }
      if (isRun) {
        const length = runLength(columns - x + 1, 0);
        for (let c = 0; c < components; c++) current[c]!.fill(current[c]![x - 1]!, x, x + length);
        x += length;
        if (x > columns) break;
        for (let c = 0; c < components; c++)
          current[c]![x] = interruption(0, current[c]![x - 1]!, previous[c]![x]!, runIndexes[0]!);
        if (runIndexes[0]! > 0) runIndexes[0]!--;
      } else
        for (let c = 0; c < components; c++)
          current[c]![x] = regular(q[c]!, current[c]![x - 1]!, previous[c]![x]!, previous[c]![x - 1]!);
      x++;
    }
  }

  /** A.2, at the beginning and after each restart marker. */
  function begin(): void {
    A.fill(Math.max(2, (range + 32) >> 6));
    N.fill(1);
    for (const zero of [B, C, Nn, runIndexes, ...previous, ...current]) zero.fill(0);
    [cache, bits, afterFF] = [0, 0, false];
  }

  begin();
  for (let y = 0; y < of.rows; y++) {
    if (of.restartLines > 0 && y > 0 && y % of.restartLines === 0) {
      at = nextMarker(bytes, at);
      if ((bytes[at + 1]! & 0xf8) !== 0xd0) throw cutShort();
      at += 2;
      begin();
    }
    for (let c = 0; c < components; c++) {
      current[c]![0] = previous[c]![1]!;
      previous[c]![columns + 1] = previous[c]![columns]!;
    }
    if (of.isBySample) decodePixelsOfLine();
    else for (let c = 0; c < components; c++) decodeLine(c);
    for (let c = 0; c < components; c++) {
      const line = current[c]!;
      let to = y * columns * stride + of.first + c;
      for (let x = 1; x <= columns; x++, to += stride) into[to] = line[x]!;
    }
    [previous, current] = [current, previous];
  }
  return nextMarker(bytes, at);
}

/** Each difference of two neighbours as one of nine regions (A.3.3), by difference + maxval. */
function gradients(maxval: number, near: number, t1: number, t2: number, t3: number): Int8Array {
  return Int8Array.from({ length: 2 * maxval + 1 }, (_, index) => {
    const d = index - maxval;
    const size = Math.abs(d);
    const region = size <= near ? 0 : size < t1 ? 1 : size < t2 ? 2 : size < t3 ? 3 : 4;
    return d < 0 ? -region : region;
  });
}

/** What is left of the last byte is filling. */
function nextMarker(bytes: Uint8Array, from: number): number {
  for (let at = Math.max(0, from - 1); at + 1 < bytes.length; at++)
    if (bytes[at] === 0xff && bytes[at + 1]! >= 0x80) return at;
  // An end marker that is missing harms nobody when all samples are there.
  return bytes.length;
}

const cutShort = (): Failure => new Failure('invalid', 'The JPEG-LS frame is cut short');
