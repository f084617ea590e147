/**
 * Padding of text (PS3.5 6.2): spaces, and NULs where senders write them, at either end of a value.
 * Called wherever text comes from a peer. Not with regular expressions: on a long run of spaces in the middle of a
 * value, those look from each of them to the end, 3 s for 64 KB on a thread that has other associations to serve.
 */

const SPACE = 0x20;
const NUL = 0;

/** Without spaces at both ends. */
export function trimSpaces(text: string): string {
  return trimTrailingSpaces(text.slice(leading(text, isSpace)));
}

export function trimTrailingSpaces(text: string): string {
  return text.slice(0, trailing(text, isSpace));
}

/** Without spaces and NULs at both ends. */
export function trimPadding(text: string): string {
  const end = trailing(text, isPadding);
  return text.slice(Math.min(leading(text, isPadding), end), end);
}

const isSpace = (code: number): boolean => code === SPACE;
const isPadding = (code: number): boolean => code === SPACE || code === NUL;

function leading(text: string, drops: (code: number) => boolean): number {
  let start = 0;
  while (start < text.length && drops(text.charCodeAt(start))) start++;
  return start;
}

/** Where the text ends once its padding is left out. */
function trailing(text: string, drops: (code: number) => boolean): number {
  let end = text.length;
  while (end > 0 && drops(text.charCodeAt(end - 1))) end--;
  return end;
}
