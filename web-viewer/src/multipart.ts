/**
 * Takes the one part out of a multipart/related answer (RFC 2387, RFC 2046 5.1; PS3.18 8.6.1.2).
 * Pure; called by dicomweb.ts for frames and bulk data, which are asked for one at a time.
 */

export interface Part {
  contentType: string;
  bytes: Uint8Array<ArrayBuffer>;
}

/** The first part, or the body itself when it is not multipart; undefined when the body is cut or no multipart at all. */
export function onlyPart(contentType: string, body: ArrayBuffer): Part | undefined {
  const bytes = new Uint8Array(body);
  if (!/^multipart\//i.test(contentType)) return { contentType, bytes };
  const boundary = /;\s*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType);
  const delimiter = `--${boundary?.[1] ?? boundary?.[2] ?? ''}`;
  const start = indexOf(bytes, delimiter, 0);
  if (boundary === null || start < 0) return undefined;
  const headEnd = indexOf(bytes, '\r\n\r\n', start);
  const end = lastIndexOf(bytes, `\r\n${delimiter}`);
  if (headEnd < 0 || end < headEnd) return undefined;
  const head = new TextDecoder('latin1').decode(bytes.subarray(start, headEnd));
  const partType = /^content-type:[ \t]*(.*)$/im.exec(head)?.[1]?.trim();
  return { contentType: partType ?? contentType, bytes: bytes.slice(headEnd + 4, end) };
}

/** Where the text first stands at or after `from`, or -1. */
function indexOf(bytes: Uint8Array, text: string, from: number): number {
  for (let at = from; at + text.length <= bytes.length; at++) if (standsAt(bytes, text, at)) return at;
  return -1;
}

/** Looked for from the end: pixels are long, and the closing delimiter is the last thing but an epilogue. */
function lastIndexOf(bytes: Uint8Array, text: string): number {
  for (let at = bytes.length - text.length; at >= 0; at--) if (standsAt(bytes, text, at)) return at;
  return -1;
}

function standsAt(bytes: Uint8Array, text: string, at: number): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}
