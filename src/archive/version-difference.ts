/**
 * What differs between two stored versions of one object: every attribute value for value, the pixels frame by frame,
 * decoded where they are compressed. Reads both from the store by ranges, so memory does not depend on their size.
 * Called by compare-versions.ts, behind everything that is asked of the archive.
 */

import { swapWords, wordSize } from '../dicom/byte-order.ts';
import { compareDataSets, type Difference, differenceOf } from '../dicom/compare-data-sets.ts';
import { type DataSet, elementAt, parseDataSet } from '../dicom/data-set.ts';
import type { PixelLocation } from '../dicom/header-scan.ts';
import { EXPLICIT_LE, transferSyntax } from '../dicom/transfer-syntax.ts';
import { asFailure, Failure } from '../failure.ts';
import { type ImagePixel, imagePixelOf } from '../pixels/image-pixel.ts';
import type { PixelWorkers } from '../pixels/pixel-workers.ts';
import { framesOf, heldFrame } from './object-frames.ts';
import { endOfPixels } from './read-attributes.ts';
import { inflatedDataSet, type ObjectHeader, readDataSet, readHeader } from './read-header.ts';
import type { ObjectReader } from './read-object.ts';
import { littleEndianWords, sameStreams } from './same-streams.ts';
import type { StoredObject } from './stored-object.ts';

export interface DifferenceParts {
  reader: ObjectReader;
  workers: Pick<PixelWorkers, 'compare'>;
  /** Called after each frame. @throws to give up */
  onFrame?(): void;
}

const PHOTOMETRIC_INTERPRETATION = '00280004';
const PIXEL_DATA = '7FE00010';
const PLANAR_CONFIGURATION = '00280006';
const LOSSY_IMAGE_COMPRESSION = '00282110';
const DERIVATION = ['00082111', '00089215'];
/** The Image Pixel module's numbers: where they differ, frames cannot be laid side by side. */
const DIMENSIONS = new Set([
  '00280002',
  '00280008',
  '00280010',
  '00280011',
  '00280100',
  '00280101',
  '00280102',
  '00280103',
]);
/** What stands behind Pixel Data: digital signatures and padding. */
const MAX_TAIL_BYTES = 16 * 1024 * 1024;

/** One of the two, with what was read of it. */
interface Version {
  object: StoredObject;
  header: ObjectHeader;
}

/**
 * @returns from `before` to `after`; empty when all values are equal, however they are encoded
 * @throws Failure 'unavailable' when bytes are away now; any other kind says why the two cannot be compared
 */
export async function versionDifference(
  parts: DifferenceParts,
  before: StoredObject,
  after: StoredObject,
): Promise<Difference[]> {
  const [a, b] = [await versionOf(parts, before), await versionOf(parts, after)];
  const found = await withoutEqualIcons(parts, await attributeDifference(parts, a, b), a, b);
  const pixels = await pixelDifference(parts, a, b, found);
  const rest = pixels === undefined ? withoutEncoding(found, a, b) : found;
  const tail = compareDataSets(await tailOf(parts, a.object), await tailOf(parts, b.object));
  return [...rest, ...(pixels ? [pixels] : []), ...tail];
}

async function versionOf({ reader }: DifferenceParts, object: StoredObject): Promise<Version> {
  const header = await readHeader(reader, object);
  if (header.dataSet.fault !== undefined)
    throw new Failure('invalid', `The header cannot be read: ${header.dataSet.fault}`);
  return { object, header };
}

/** Of everything before Pixel Data; long values, which the headers leave out, are compared as they are read. */
async function attributeDifference(parts: DifferenceParts, a: Version, b: Version): Promise<Difference[]> {
  const long = new Set([...a.header.longValues.keys(), ...b.header.longValues.keys()]);
  const found = compareDataSets(a.header.dataSet, b.header.dataSet).filter(
    ({ tag, within }) => within !== undefined || !long.has(tag),
  );
  for (const tag of [...long].sort()) {
    const [one, other] = [longValue(parts, a, tag), longValue(parts, b, tag)];
    const { vr } = (other ?? one)!;
    if (!one || !other) found.push(differenceOf(tag, vr, one ? 'removed' : 'added'));
    else if (!(await sameStreams(one.bytes, other.bytes))) found.push(differenceOf(tag, vr, 'changed'));
  }
  return found;
}

function longValue(
  { reader }: DifferenceParts,
  { object, header }: Version,
  tag: string,
): { vr: string; bytes: AsyncIterable<Uint8Array> } | undefined {
  const { bigEndian } = transferSyntax(object.transferSyntax);
  const long = header.longValues.get(tag);
  const held = header.dataSet.elements.get(tag);
  const vr = long?.vr ?? held?.vr;
  if (vr === undefined) return undefined;
  const bytes = long ? readDataSet(reader, object, long) : only(held!.value);
  return { vr, bytes: littleEndianWords(bytes, vr, bigEndian) };
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function pixelDifference(
  parts: DifferenceParts,
  a: Version,
  b: Version,
  attributes: readonly Difference[],
): Promise<Difference | undefined> {
  const [one, other] = [a.object.pixel, b.object.pixel];
  if (!one && !other) return undefined;
  const { tag, vr } = (other ?? one)!;
  const note = (what: Difference['what'], frame?: number): Difference => ({
    ...differenceOf(tag, vr, what),
    ...(frame !== undefined && { frame }),
  });
  if (!one || !other) return note(one ? 'removed' : 'added');
  if (one.tag !== other.tag) return note('changed');
  const root = new Set(
    attributes.filter(({ within }) => within === undefined).map((difference) => difference.tag),
  );
  const laidOutAlike = !root.has(PLANAR_CONFIGURATION) && !root.has(PHOTOMETRIC_INTERPRETATION);
  const sameDimensions = ![...root].some((changed) => DIMENSIONS.has(changed));
  if (!one.encapsulated && !other.encapsulated && (laidOutAlike || !sameDimensions))
    return (await sameStreams(nativePixels(parts, a.object, one), nativePixels(parts, b.object, other)))
      ? undefined
      : note('changed');
  if (!sameDimensions) return note('changed');
  const frame = await firstDifferentFrame(parts, a, b);
  return frame === undefined ? undefined : note('changed', frame);
}

function nativePixels(
  { reader }: DifferenceParts,
  object: StoredObject,
  { offset, length = 0, vr }: PixelLocation,
): AsyncIterable<Uint8Array> {
  const bytes = readDataSet(reader, object, { offset, length });
  return littleEndianWords(bytes, vr, transferSyntax(object.transferSyntax).bigEndian);
}

/** @throws Failure when frames cannot be told apart, decoded or compared */
async function firstDifferentFrame(
  parts: DifferenceParts,
  a: Version,
  b: Version,
): Promise<number | undefined> {
  const [one, other] = [a, b].map(({ object, header }) =>
    framesOf(header.dataSet, object.pixel!, object.transferSyntax),
  ) as [ReturnType<typeof framesOf>, ReturnType<typeof framesOf>];
  const sameSyntax = a.object.transferSyntax === b.object.transferSyntax;
  const shared = Math.min(one.frames.length, other.frames.length);
  for (let number = 1; number <= shared; number++) {
    const frame = await heldFrame(parts, a.object, one, number);
    const otherFrame = await heldFrame(parts, b.object, other, number);
    const equal =
      (sameSyntax && frame.equals(otherFrame)) ||
      (await parts.workers.compare({ pixel: one.pixel, frame }, { pixel: other.pixel, frame: otherFrame }));
    if (!equal) return number;
    parts.onFrame?.();
  }
  // The pixels of one end earlier.
  return one.frames.length === other.frames.length ? undefined : shared + 1;
}

/**
 * With equal pixels these say only how the pixels are written:
 * - Planar Configuration (PS3.3 C.7.6.3.1.3), and Photometric Interpretation where one says RGB and the other the
 *   reversible transform of it that JPEG 2000 uses (PS3.5 8.2.4);
 * - between two transfer syntaxes, Derivation Description and Derivation Code Sequence, in which a program that
 *   compressed without loss may say so (PS3.3 C.7.6.1.1.3), and Lossy Image Compression of 00, which says that nothing
 *   was lost (PS3.3 C.7.6.1.1.5).
 */
function withoutEncoding(found: readonly Difference[], a: Version, b: Version): Difference[] {
  if (!a.object.pixel || !b.object.pixel) return [...found];
  const word = ({ header }: Version, tag: string): string =>
    Buffer.from(header.dataSet.elements.get(tag)?.value ?? [])
      .toString('latin1')
      .trim();
  const ignored = new Set([PLANAR_CONFIGURATION]);
  const colours = [a, b].map((version) => word(version, PHOTOMETRIC_INTERPRETATION));
  if (colours.includes('RGB') && colours.includes('YBR_RCT')) ignored.add(PHOTOMETRIC_INTERPRETATION);
  if (a.object.transferSyntax !== b.object.transferSyntax) {
    for (const tag of DERIVATION) ignored.add(tag);
    if ([a, b].every((version) => ['', '00'].includes(word(version, LOSSY_IMAGE_COMPRESSION))))
      ignored.add(LOSSY_IMAGE_COMPRESSION);
  }
  return found.filter(({ tag, within }) => !ignored.has(within?.slice(0, 8) ?? tag));
}

/**
 * Pixel Data inside a sequence, as of an icon, which a compressing program may have compressed with the rest (PS3.5 A.4):
 * equal when it decodes to the same. One that cannot be decoded stays a difference.
 */
async function withoutEqualIcons(
  parts: DifferenceParts,
  found: readonly Difference[],
  a: Version,
  b: Version,
): Promise<Difference[]> {
  const left: Difference[] = [];
  for (const difference of found) {
    const { tag, within, what } = difference;
    const isIcon = tag === PIXEL_DATA && within !== undefined && what === 'changed';
    if (!isIcon || !(await sameIcon(parts, iconAt(a, within), iconAt(b, within)))) left.push(difference);
  }
  return left;
}

interface Icon {
  pixel: ImagePixel;
  frame: Buffer;
}

async function sameIcon(
  { workers }: DifferenceParts,
  one: Icon | undefined,
  other: Icon | undefined,
): Promise<boolean> {
  if (!one || !other) return false;
  try {
    return await workers.compare(one, other);
  } catch (thrown) {
    if (asFailure(thrown).kind === 'unavailable') throw thrown;
    return false;
  }
}

function iconAt({ object, header }: Version, path: string): Icon | undefined {
  const found = elementAt(header.dataSet, `${path}/${PIXEL_DATA}`);
  if (!found) return undefined;
  const { element, within } = found;
  const { fragments, value, vr } = element;
  const pixel = imagePixelOf(within, fragments ? object.transferSyntax : EXPLICIT_LE);
  if (fragments) return { pixel, frame: Buffer.concat(fragments.slice(1)) };
  return {
    pixel,
    frame: within.bigEndian ? swapWords(Buffer.from(value), wordSize(vr)) : Buffer.from(value),
  };
}

/** The elements behind Pixel Data. */
async function tailOf({ reader }: DifferenceParts, object: StoredObject): Promise<DataSet> {
  const nothing: DataSet = { elements: new Map(), bigEndian: false, characterSet: undefined };
  const { pixel } = object;
  const syntax = transferSyntax(object.transferSyntax);
  if (!pixel) return nothing;
  const begin = endOfPixels(pixel);
  if (begin === undefined)
    throw new Failure('unsupported', '(7FE0,0010) PixelData has more fragments than are kept in mind');
  if (syntax.deflated)
    return parseDataSet((await inflatedDataSet(reader, object)).subarray(begin), EXPLICIT_LE);
  const length = object.length - object.dataSetOffset - begin;
  if (length <= 0) return nothing;
  if (length > MAX_TAIL_BYTES)
    throw new Failure(
      'too-large',
      `What follows (7FE0,0010) PixelData is longer than ${MAX_TAIL_BYTES} bytes`,
    );
  const bytes = await reader.readRange(object, object.dataSetOffset + begin, length);
  return parseDataSet(bytes, pixel.encapsulated ? EXPLICIT_LE : object.transferSyntax);
}
