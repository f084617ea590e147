/**
 * Application Entity titles (PS3.5 6.2, VR AE; PS3.8 9.3.2).
 * Parsed wherever one enters: configuration, destinations, association requests.
 */

import { Failure } from '../failure.ts';

const MAX_LENGTH = 16;
const MAX_PADDED = 256;

/**
 * The title without its insignificant leading and trailing spaces.
 * Failure 'invalid' when nothing is left, it is longer than 16 characters, or holds a backslash, a control
 * character or anything outside ASCII.
 */
export function parseAeTitle(text: string): string {
  // A field of PS3.8 or PS3.5 is padded to 16; what is much longer is no title, and not looked through for its end.
  const title = text.length > MAX_PADDED ? text : text.replace(/^ +/, '').replace(/[ \0]+$/, '');
  if (title === '')
    throw new Failure('invalid', 'an AE title needs at least one character that is not a space');
  if (title.length > MAX_LENGTH) {
    throw new Failure(
      'invalid',
      `an AE title has at most ${MAX_LENGTH} characters, this one has ${title.length}`,
    );
  }
  if (!/^[\x20-\x5b\x5d-\x7e]+$/.test(title)) {
    throw new Failure('invalid', 'an AE title is written in ASCII without backslash or control characters');
  }
  return title;
}
