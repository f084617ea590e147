/**
 * In which transfer syntaxes a stored object can leave for a destination, best first, and which associations that takes.
 * Pure; storage-scu.ts proposes them and takes the first that the peer accepts.
 */
import type { StoredObject } from '../archive/stored-object.ts';
import { LOSSLESS, LOSSY } from '../dicom/encodings.ts';
import {
  DEFLATED_LE,
  EXPLICIT_BE,
  EXPLICIT_LE,
  IMPLICIT_LE,
  transferSyntax,
} from '../dicom/transfer-syntax.ts';
import { type ContextProposal, maxContexts } from '../dimse/plan-contexts.ts';
import { isDecodable } from '../pixels/decodable.ts';
import { whyNotRecoded } from '../pixels/encodable.ts';
import { type ImagePixel, imagePixelOfJson } from '../pixels/image-pixel.ts';
import type { CompiledTransform } from '../transform/transform.ts';
import { isRecoded } from './recoded-object.ts';
import { isLargeFrame } from './recoded-pixels.ts';

export interface Leaving {
  /** The destination's transferSyntaxes, best first; undefined for any. */
  readonly allowed?: readonly string[] | undefined;
  /** What a rule changes on the way. */
  readonly transform?: Pick<CompiledTransform, 'transcode'> | undefined;
}

/** Without a codec, value for value; the one that says more first. Every peer takes the last (PS3.5 10.1). */
const CONVERSIONS: Readonly<Record<string, readonly string[]>> = {
  [EXPLICIT_LE]: [IMPLICIT_LE],
  [IMPLICIT_LE]: [EXPLICIT_LE],
  [EXPLICIT_BE]: [EXPLICIT_LE, IMPLICIT_LE],
  [DEFLATED_LE]: [EXPLICIT_LE, IMPLICIT_LE],
};

/** Their samples are labels, doses or measurements: none may be another by a little. */
const NEVER_LOSSY = new Set([
  '1.2.840.10008.5.1.4.1.1.30',
  '1.2.840.10008.5.1.4.1.1.66.4',
  '1.2.840.10008.5.1.4.1.1.66.7',
  '1.2.840.10008.5.1.4.1.1.481.2',
]);

/** In which other syntaxes an object stored in this one can leave without loss, best first; nothing is compressed unasked. */
function conversionsOf(stored: string): readonly string[] {
  return CONVERSIONS[stored] ?? (isDecodable(stored) ? [EXPLICIT_LE, IMPLICIT_LE] : []);
}

/** As it is stored first: those are the bytes that came. What a destination names is also compressed to, without loss. */
function usualWays(stored: string, { allowed, transform }: Leaving): string[] {
  const conversions = conversionsOf(stored);
  const canBe = (uid: string): boolean =>
    uid !== stored && (conversions.includes(uid) || (conversions.length > 0 && LOSSLESS.includes(uid)));
  const targets = allowed ? allowed.filter(canBe) : conversions;
  // A changed header is written in Little Endian, and nothing is deflated again.
  const stays = !(transform && (stored === EXPLICIT_BE || stored === DEFLATED_LE));
  const asStored = stays && (allowed === undefined || allowed.includes(stored));
  return [...(asStored ? [stored] : []), ...targets];
}

/** What may be proposed for objects stored in this syntax: for some of them not all of it will do. */
export function waysOut(stored: string, leaving: Leaving = {}): string[] {
  const { allowed, transform } = leaving;
  const to = transform?.transcode?.to;
  const canBe = to !== undefined && conversionsOf(stored).length > 0 && (allowed?.includes(to) ?? true);
  // Already so: it is not compressed again, nor said that it cannot.
  const first = canBe || to === stored ? [to] : [];
  return [...new Set([...first, ...usualWays(stored, leaving)])];
}

/** The ways of one object. */
export function waysOutOf(object: StoredObject, leaving: Leaving = {}): string[] {
  const { transferSyntax: stored, pixel } = object;
  const transcode = leaving.transform?.transcode;
  // There is nothing to compress, and a report goes along with its images.
  const asked = pixel && transcode ? waysOut(stored, leaving) : usualWays(stored, leaving);
  const ways =
    pixel && transcode?.otherwise === 'refuse' ? asked.filter((way) => way === transcode.to) : asked;
  return ways.filter((way) => whyNot(object, way, leaving) === undefined);
}

/** Why it has none of them. */
export function whyNoWay(object: StoredObject, leaving: Leaving, destination: string): string {
  const transcode = leaving.transform?.transcode;
  const { name } = transferSyntax(object.transferSyntax);
  if (object.pixel && transcode?.otherwise === 'refuse') {
    const to = transferSyntax(transcode.to).name;
    const why = whyNot(object, transcode.to, leaving);
    return why === undefined
      ? `it is to be sent in ${to}, which is not among the transferSyntaxes of ${destination}`
      : `it cannot be sent in ${to}: ${why}`;
  }
  const why = leaving.allowed
    ?.map((way) => whyNot(object, way, leaving))
    .find((reason) => reason !== undefined);
  return `it is stored in ${name}, which is not among the transferSyntaxes of ${destination} and is not converted to one of them${why === undefined ? '' : `: ${why}`}`;
}

function whyNot(object: StoredObject, way: string, { transform }: Leaving): string | undefined {
  if (way === object.transferSyntax) return undefined;
  if (!object.pixel) return transferSyntax(way).encapsulated ? 'it has no pixels' : undefined;
  if (!isRecoded(object, way)) return undefined;
  const pixel = imagePixelOf(object);
  if (!pixel) return 'its header does not say how its pixels lie';
  const loss = way === transform?.transcode?.to ? transform.transcode.loss : undefined;
  if (loss && NEVER_LOSSY.has(object.sopClass))
    return 'its values are labels, doses or measurements, and none may be changed a little';
  if (!loss && way in LOSSY) return 'no rule says how much may be lost';
  return whyNotRecoded(pixel, { to: way, loss });
}

/** From the index: enough to tell what can be made of the pixels. */
function imagePixelOf({ attributes, transferSyntax: stored, pixel }: StoredObject): ImagePixel | undefined {
  const known = imagePixelOfJson(attributes, stored);
  return known && pixel && pixel.tag !== '7FE00010' ? { ...known, isFloat: true } : known;
}

export function hasLargeFrames(object: StoredObject): boolean {
  const pixel = imagePixelOf(object);
  return pixel !== undefined && isLargeFrame(pixel);
}

export interface PlannedAssociation {
  contexts: ContextProposal[];
  /** What it is for, by kindOf. */
  kinds: Set<string>;
}

export function kindOf(sopClassUid: string, transferSyntaxUid: string): string {
  return `${sopClassUid} ${transferSyntaxUid}`;
}

/**
 * All ways of a kind on one association, one transfer syntax a context, so that what the peer accepts says exactly what
 * it takes; more than 128 contexts are several associations. Kinds keep their order; those without a way are in none.
 */
export function planAssociations(
  kinds: readonly { sopClassUid: string; transferSyntaxUid: string }[],
  leaving: Leaving = {},
): PlannedAssociation[] {
  const plan: (PlannedAssociation & { pairs: Set<string> })[] = [];
  for (const { sopClassUid, transferSyntaxUid } of kinds) {
    const ways = waysOut(transferSyntaxUid, leaving);
    if (ways.length === 0) continue;
    let current = plan.at(-1);
    const added = (pairs: ReadonlySet<string> | undefined) =>
      ways.filter((way) => !pairs?.has(kindOf(sopClassUid, way)));
    if (!current || current.contexts.length + added(current.pairs).length > maxContexts) {
      current = { contexts: [], kinds: new Set(), pairs: new Set() };
      plan.push(current);
    }
    for (const way of added(current.pairs)) {
      current.pairs.add(kindOf(sopClassUid, way));
      current.contexts.push({ abstractSyntax: sopClassUid, transferSyntaxes: [way] });
    }
    current.kinds.add(kindOf(sopClassUid, transferSyntaxUid));
  }
  return plan.map(({ contexts, kinds: planned }) => ({ contexts, kinds: planned }));
}
