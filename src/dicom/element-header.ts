/**
 * How an element's header lies in the bytes (PS3.5 section 7): value representations, their length fields, delimiters.
 * The one place header-scan (bytes passing by), data-set (a header in memory) and explicit-little-endian share.
 * Tags are signed 32-bit numbers here, group above element: small integers stay cheap.
 */

export const ITEM = tagNumber('FFFEE000');
export const ITEM_DELIMITATION = tagNumber('FFFEE00D');
export const SEQUENCE_DELIMITATION = tagNumber('FFFEE0DD');
export const PIXEL_DATA = tagNumber('7FE00010');
export const FLOAT_PIXEL_DATA = tagNumber('7FE00008');
export const DOUBLE_FLOAT_PIXEL_DATA = tagNumber('7FE00009');
export const UNDEFINED_LENGTH = 0xffffffff;
/** Deeper nesting than this is an attack or an accident; PS3.5 sets no limit, real objects stay below 20. */
export const MAX_DEPTH = 256;

const LONG_VRS = ['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', 'SV', 'UC', 'UN', 'UR', 'UT', 'UV'];
const SHORT_VRS = 'AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US'.split(' ');

const UNKNOWN = 1;
const SHORT = 2;
const LONG = 3;

/** By the two VR bytes as a number: 0 is no VR at all (not two capital letters). */
const vrForms = new Uint8Array(0x10000);
for (let first = 0x41; first <= 0x5a; first++) {
  for (let second = 0x41; second <= 0x5a; second++) vrForms[(first << 8) | second] = UNKNOWN;
}
for (const vr of SHORT_VRS) vrForms[vrCode(vr)] = SHORT;
for (const vr of LONG_VRS) vrForms[vrCode(vr)] = LONG;

const vrNames = new Map([...SHORT_VRS, ...LONG_VRS].map((vr) => [vrCode(vr), vr]));

export function vrCode(vr: string): number {
  return (vr.charCodeAt(0) << 8) | vr.charCodeAt(1);
}

export function vrName(code: number): string {
  return vrNames.get(code) ?? String.fromCharCode(code >> 8, code & 0xff);
}

/** Whether the two bytes are a VR of PS3.5 6.2, not merely two capital letters. */
export function isKnownVr(code: number): boolean {
  return (vrForms[code] ?? 0) >= SHORT;
}

/** Whether the two bytes can be a VR: two capital letters. */
export function isVrShaped(code: number): boolean {
  return vrForms[code] !== 0;
}

/**
 * Whether the VR's length is a 32-bit field after two reserved bytes. Unknown VRs take that form by PS3.5 7.1.2;
 * some senders write them short, which shows in the reserved bytes not being zero.
 */
export function isLongForm(code: number, reserved: number): boolean {
  const form = vrForms[code];
  return form === LONG || (form === UNKNOWN && reserved === 0);
}

/** VRs that may have an undefined length without being a sequence: encapsulated fragments (PS3.5 A.4). */
export function mayBeFragments(code: number): boolean {
  return code >> 8 === 0x4f;
}

/** Texts of tags met before: a header's are those of the header before it, and making them is half of reading it. */
const tagTexts = new Map<number, string>();
const MAX_TAG_TEXTS = 20_000;

/** "0020000D" of the number. */
export function tagText(tag: number): string {
  const known = tagTexts.get(tag);
  if (known !== undefined) return known;
  const text = (tag >>> 0).toString(16).toUpperCase().padStart(8, '0');
  if (tagTexts.size === MAX_TAG_TEXTS) tagTexts.clear();
  tagTexts.set(tag, text);
  return text;
}

/** The number of "0020000D". */
export function tagNumber(tag: string): number {
  return Number.parseInt(tag, 16) | 0;
}

export function readTag(bytes: Uint8Array, at: number, bigEndian: boolean): number {
  return bigEndian
    ? (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
    : (bytes[at + 1]! << 24) | (bytes[at]! << 16) | (bytes[at + 3]! << 8) | bytes[at + 2]!;
}

export function readUint16(bytes: Uint8Array, at: number, bigEndian: boolean): number {
  return bigEndian ? (bytes[at]! << 8) | bytes[at + 1]! : (bytes[at + 1]! << 8) | bytes[at]!;
}

export function readUint32(bytes: Uint8Array, at: number, bigEndian: boolean): number {
  return bigEndian
    ? ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
    : ((bytes[at + 3]! << 24) | (bytes[at + 2]! << 16) | (bytes[at + 1]! << 8) | bytes[at]!) >>> 0;
}
