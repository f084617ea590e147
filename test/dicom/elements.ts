/**
 * Data sets written by hand for the tests of src/dicom: elements of Explicit or Implicit VR, either byte order.
 * Written apart from the code under test, straight from PS3.5 section 7.
 */

export interface Written {
  implicit?: boolean;
  bigEndian?: boolean;
}

const LONG = ['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', 'SV', 'UC', 'UN', 'UR', 'UT', 'UV'];

/** One element; a `length` given says something else than the value's own. */
export function element(
  tag: string,
  vr: string,
  value: Uint8Array | string,
  as: Written & { length?: number } = {},
): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : Buffer.from(value);
  const length = as.length ?? bytes.length;
  if (as.implicit) return Buffer.concat([tagBytes(tag, as), number(length, 4, as), bytes]);
  const head = [tagBytes(tag, as), Buffer.from(vr, 'latin1')];
  if (LONG.includes(vr)) head.push(Buffer.alloc(2), number(length, 4, as));
  else head.push(number(length, 2, as));
  return Buffer.concat([...head, bytes]);
}

/** A sequence and its items, each of defined or undefined length. */
export function sequence(
  tag: string,
  items: Buffer[],
  as: Written & { undefinedLength?: boolean } = {},
): Buffer {
  const inside = Buffer.concat(items.map((content) => item(content, as)));
  if (!as.undefinedLength) return element(tag, 'SQ', inside, as);
  return Buffer.concat([
    element(tag, 'SQ', inside, { ...as, length: 0xffffffff }),
    delimiter('FFFEE0DD', as),
  ]);
}

export function item(content: Buffer, as: Written & { undefinedLength?: boolean } = {}): Buffer {
  if (!as.undefinedLength)
    return Buffer.concat([tagBytes('FFFEE000', as), number(content.length, 4, as), content]);
  return Buffer.concat([
    tagBytes('FFFEE000', as),
    number(0xffffffff, 4, as),
    content,
    delimiter('FFFEE00D', as),
  ]);
}

/** Encapsulated Pixel Data: the Basic Offset Table first. */
export function encapsulated(fragments: Buffer[]): Buffer {
  return Buffer.concat([
    element('7FE00010', 'OB', '', { length: 0xffffffff }),
    ...fragments.map((fragment) => item(fragment)),
    delimiter('FFFEE0DD', {}),
  ]);
}

export function delimiter(tag: string, as: Written = {}): Buffer {
  return Buffer.concat([tagBytes(tag, as), Buffer.alloc(4)]);
}

export function uint16(value: number, as: Written = {}): Buffer {
  return number(value, 2, as);
}

export function uint32(value: number, as: Written = {}): Buffer {
  return number(value, 4, as);
}

function tagBytes(tag: string, as: Written): Buffer {
  return Buffer.concat([
    number(Number.parseInt(tag.slice(0, 4), 16), 2, as),
    number(Number.parseInt(tag.slice(4), 16), 2, as),
  ]);
}

function number(value: number, size: 2 | 4, as: Written): Buffer {
  const bytes = Buffer.alloc(size);
  if (as.bigEndian) bytes.writeUIntBE(value, 0, size);
  else bytes.writeUIntLE(value, 0, size);
  return bytes;
}
