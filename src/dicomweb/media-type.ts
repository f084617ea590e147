/**
 * Media types and the Accept header (RFC 9110 8.3, 12.5.1), with the `accept` query parameter of PS3.18 8.3.3.1.
 * Called by the negotiation of every DICOMweb resource and by STOW for the parts' Content-Type.
 * Reads what clients really send: parameter values with a slash but without quotes are taken as they stand.
 */
import { Failure } from '../failure.ts';

export interface MediaType {
  /** Lower case, "multipart/related". */
  readonly type: string;
  /** Names in lower case; values as sent, without their quotes. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** One range of an Accept header; `q` from 0 (never) to 1. */
export interface AcceptedType extends MediaType {
  readonly q: number;
}

const TYPE = /^[!#$%&'*+.^_`|~0-9a-z-]+\/[!#$%&'*+.^_`|~0-9a-z-]+$/;
/** Longer headers come from no viewer; each range costs a comparison with each form we can give. */
const MAX_RANGES = 64;

/** The media type, or undefined when the text is none. */
export function parseMediaType(text: string): MediaType | undefined {
  const [first = '', ...rest] = split(text, ';');
  const type = first.trim().toLowerCase();
  if (!TYPE.test(type)) return undefined;
  const parameters = new Map<string, string>();
  for (const piece of rest) {
    const equals = piece.indexOf('=');
    if (equals < 1) continue;
    const name = piece.slice(0, equals).trim().toLowerCase();
    if (!parameters.has(name)) parameters.set(name, unquoted(piece.slice(equals + 1).trim()));
  }
  return { type, parameters };
}

/**
 * The ranges of an Accept header, most wanted first (stable among equals); none sent means anything.
 * @throws Failure 'invalid' when nothing in it can be read
 */
export function parseAccept(header: string | undefined): AcceptedType[] {
  if (header === undefined || header.trim() === '') return [{ type: '*/*', parameters: new Map(), q: 1 }];
  const ranges: AcceptedType[] = [];
  for (const piece of split(header, ',').slice(0, MAX_RANGES)) {
    const range = parseMediaType(piece);
    if (!range) continue;
    const weight = Number(range.parameters.get('q') ?? '1');
    ranges.push({ ...range, q: Number.isFinite(weight) ? Math.min(1, Math.max(0, weight)) : 1 });
  }
  if (ranges.length === 0)
    throw new Failure('invalid', 'Accept, the header or the parameter, holds no media type that can be read');
  return ranges.filter((range) => range.q > 0).sort((a, b) => b.q - a.q);
}

/** Whether the range ("image/*", "*" + "/*") covers the type; parameters are the caller's concern. */
export function covers(range: MediaType, type: string): boolean {
  if (range.type === '*/*' || range.type === type) return true;
  return range.type.endsWith('/*') && type.startsWith(range.type.slice(0, -1));
}

/** Splits at the separator, but not inside quotes. */
function split(text: string, separator: string): string[] {
  const pieces: string[] = [];
  let quoted = false;
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (quoted && char === '\\') at++;
    else if (char === '"') quoted = !quoted;
    else if (char === separator && !quoted) {
      pieces.push(text.slice(from, at));
      from = at + 1;
    }
  }
  pieces.push(text.slice(from));
  return pieces;
}

function unquoted(text: string): string {
  if (text.length < 2 || !text.startsWith('"') || !text.endsWith('"')) return text;
  return text.slice(1, -1).replace(/\\(.)/g, '$1');
}
