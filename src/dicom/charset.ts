/**
 * Text values by the object's Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 6.1), ISO 2022 included.
 * Called wherever bytes become text. Never throws: an unknown set or broken escape falls back to what the
 * bytes can be read as, because a name shown imperfectly is better than an image nobody can find.
 */

import { convertBytes } from 'dicom-character-set';
import { trimTrailingSpaces } from './padding.ts';

/** VRs whose text follows (0008,0005); every other text VR is in the default repertoire (PS3.5 6.2). */
const LOCALISED_VRS = new Set(['SH', 'LO', 'ST', 'LT', 'UC', 'UT', 'PN']);

/** The defined terms in a raw (0008,0005) value; undefined when absent or empty (default repertoire). */
export function characterSetOf(value: Uint8Array | undefined): string[] | undefined {
  if (!value || value.length === 0) return undefined;
  const terms = latin1(value)
    .split('\\')
    .map((term) => normalTerm(term.replaceAll('\0', '').trim()));
  return terms.some((term) => term !== '') ? terms : undefined;
}

/** The text of the bytes, NULs removed and trailing spaces dropped; `vr` says which delimiters reset ISO 2022 escapes. */
export function decodeText(bytes: Uint8Array, characterSet: string[] | undefined, vr: string): string {
  const text =
    isAscii(bytes) || !LOCALISED_VRS.has(vr) ? latin1(bytes) : decodeLocalised(bytes, characterSet, vr);
  return trimTrailingSpaces(text.includes('\0') ? text.replaceAll('\0', '') : text);
}

function decodeLocalised(bytes: Uint8Array, characterSet: string[] | undefined, vr: string): string {
  if (!characterSet) return decodeUndeclared(bytes);
  if (characterSet[0] === 'ISO_IR 192') return new TextDecoder('utf-8').decode(bytes);
  try {
    return convertBytes(characterSet.join('\\'), bytes, { vr });
  } catch (error) {
    // The library throws plain Errors for unknown terms and escapes; only a wrong call of ours is a TypeError.
    if (error instanceof TypeError) throw error;
    return decodeUndeclared(bytes);
  }
}

/** Bytes beyond ASCII without a usable declaration: UTF-8 where they are valid UTF-8, else Latin-1. */
function decodeUndeclared(bytes: Uint8Array): string {
  const text = new TextDecoder('utf-8').decode(bytes);
  return text.includes('\uFFFD') ? latin1(bytes) : text;
}

/** Senders write "ISO IR 100", "ISO-IR 100" or "ISO 2022-IR 87" for the terms of PS3.3 C.12.1.1.2. */
function normalTerm(term: string): string {
  const upper = term.toUpperCase();
  const single = /^ISO[ _-]?IR[ _-]?(\d+)$/.exec(upper);
  if (single) return `ISO_IR ${single[1]}`;
  const extended = /^ISO[ _-]?2022[ _-]?IR[ _-]?(\d+)$/.exec(upper);
  return extended ? `ISO 2022 IR ${extended[1]}` : upper;
}

/** No byte above 127 and no ESC: the same text in every DICOM character set that concerns us. */
function isAscii(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte > 0x7f || byte === 0x1b) return false;
  return true;
}

function latin1(bytes: Uint8Array): string {
  if (bytes instanceof Buffer) return bytes.toString('latin1');
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}
