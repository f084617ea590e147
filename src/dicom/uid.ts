/**
 * Unique identifiers (PS3.5 section 9): read, checked, made.
 * Called wherever a UID enters or leaves; the implementation's own identity goes into File Meta and the
 * association's user information.
 */

import { randomUUID } from 'node:crypto';

/** Our Implementation Class UID (PS3.7 D.3.3.2), a UUID-derived constant: never change it. */
export const UID_ROOT_IMPLEMENTATION = '2.25.264677465761890153753707787213875697476';

/** At most 16 characters (PS3.7 D.3.3.2.3). */
export const IMPLEMENTATION_VERSION_NAME = 'ISOCENTER_0_1';

const UID_FORM = /^[0-9]+(\.[0-9]+)*$/;

/** Drops the padding of a UI value: NUL by the Standard, space by many senders. */
export function trimUid(raw: string): string {
  let end = raw.length;
  while (end > 0 && isPadding(raw.charCodeAt(end - 1))) end--;
  return raw.slice(0, end);
}

/**
 * Whether the text is a UID that can be kept (PS3.5 9.1): digits and dots, no empty component, 1 to 64 characters.
 * Leading zeros in a component break the Standard but are common in the field, and so pass.
 */
export function isUid(text: string): boolean {
  return text.length >= 1 && text.length <= 64 && UID_FORM.test(text);
}

/** A new UID from a random UUID (PS3.5 B.2): "2.25." and the UUID as a decimal number. */
export function createUid(): string {
  return `2.25.${BigInt(`0x${randomUUID().replaceAll('-', '')}`)}`;
}

function isPadding(code: number): boolean {
  return code === 0 || code === 0x20;
}
