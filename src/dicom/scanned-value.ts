/**
 * Reads what a HeaderScan kept: texts by the object's own character set, UIDs without their padding.
 * Called by archive/intake and the study index.
 */

import { attribute } from './attributes.ts';
import { characterSetOf, decodeText } from './charset.ts';
import type { Scan } from './header-scan.ts';
import { trimUid } from './uid.ts';

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
