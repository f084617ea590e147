/**
 * Writes elements in Explicit VR Little Endian (PS3.5 section 7), for the made-up objects of the benchmarks.
 * Apart from src/, so that what is sent does not come from the code that is measured. Called by header.ts and series.ts.
 */

/** Text, several texts, numbers of the VR's width, bytes as they are, or the items of a sequence. */
export type Value = string | readonly string[] | readonly number[] | Uint8Array | readonly Element[][];
/** Tag as eight hexadecimal digits, VR, value. */
export type Element = readonly [tag: string, vr: string, value: Value];

const LONG_LENGTH = new Set(['OB', 'OW', 'SQ', 'UN', 'UT']);
const WIDTH: Readonly<Record<string, number>> = { US: 2, SS: 2, UL: 4, SL: 4, FL: 4, FD: 8 };

/** Elements in the order of their tags, sequences and items with defined lengths. */
export function encode(elements: readonly Element[]): Buffer {
  const sorted = elements.toSorted(([left], [right]) => (left < right ? -1 : 1));
  return Buffer.concat(
    sorted.flatMap(([tag, vr, value]) => {
      const bytes = encodeValue(vr, value);
      return [elementHeader(tag, vr, bytes.length), bytes];
    }),
  );
}

/** Tag, VR and length; for Pixel Data that is written after it as a stream. */
export function elementHeader(tag: string, vr: string, length: number): Buffer {
  const long = LONG_LENGTH.has(vr);
  const bytes = Buffer.alloc(long ? 12 : 8);
  writeTag(bytes, tag);
  bytes.write(vr, 4, 'latin1');
  if (long) bytes.writeUInt32LE(length, 8);
  else bytes.writeUInt16LE(length, 6);
  return bytes;
}

function encodeValue(vr: string, value: Value): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value === 'string') return text(vr, value);
  if (vr === 'SQ') return Buffer.concat((value as readonly Element[][]).map(item));
  if (WIDTH[vr]) return numbers(vr, value as readonly number[]);
  return text(vr, (value as readonly string[]).join('\\'));
}

function item(elements: readonly Element[]): Buffer {
  const content = encode(elements);
  const head = Buffer.alloc(8);
  writeTag(head, 'FFFEE000');
  head.writeUInt32LE(content.length, 4);
  return Buffer.concat([head, content]);
}

/** Of even length: UI is padded with NUL, everything else with a space (PS3.5 6.2). */
function text(vr: string, value: string): Buffer {
  return Buffer.from(value.length % 2 === 0 ? value : value + (vr === 'UI' ? '\0' : ' '), 'latin1');
}

function numbers(vr: string, values: readonly number[]): Buffer {
  const width = WIDTH[vr]!;
  const bytes = Buffer.alloc(values.length * width);
  values.forEach((value, index) => {
    const at = index * width;
    if (vr === 'FD') bytes.writeDoubleLE(value, at);
    else if (vr === 'FL') bytes.writeFloatLE(value, at);
    else if (vr === 'SS' || vr === 'SL') bytes.writeIntLE(value, at, width);
    else bytes.writeUIntLE(value, at, width);
  });
  return bytes;
}

function writeTag(bytes: Buffer, tag: string): void {
  bytes.writeUInt16LE(Number.parseInt(tag.slice(0, 4), 16), 0);
  bytes.writeUInt16LE(Number.parseInt(tag.slice(4), 16), 2);
}
