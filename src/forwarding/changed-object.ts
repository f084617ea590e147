/**
 * A stored object as a rule changes it on the way out: the header is read within a bound, edited and written anew, the
 * pixels pass as they come. Called by object-bytes.ts; what is stored stays as it is.
 */
import { type DataSet, parseDataSet } from '../dicom/data-set.ts';
import { readUint32, UNDEFINED_LENGTH } from '../dicom/element-header.ts';
import { HeaderScan } from '../dicom/header-scan.ts';
import { transferSyntax } from '../dicom/transfer-syntax.ts';
import { isUid } from '../dicom/uid.ts';
import { asFailure, Failure } from '../failure.ts';
import { MayShowText } from '../transform/burned-in.ts';
import { type EditableDataSet, editable } from '../transform/editable-data-set.ts';
import type { Masking } from '../transform/mask.ts';
import { PixelsOnly } from '../transform/pixels-only.ts';
import { isUnfollowed, QuietCodestream } from '../transform/quiet-codestream.ts';
import type { CompiledTransform } from '../transform/transform.ts';
import { type HeadAside, type HeaderRoom, MAX_HEADER_BYTES, SHORT_HEADER_BYTES } from './header-room.ts';
import { createMaskedPixels, type MaskedPixels, PIXEL_HEADER_BYTES } from './masked-pixels.ts';

/** Who the object is to the peer; the rule may give it other UIDs than those it is stored under. */
export interface SentAs {
  readonly studyUid: string;
  readonly seriesUid: string;
  readonly sopUid: string;
}

export interface ChangedObject extends SentAs {
  /** Of the header as it leaves, and as it was read. */
  readonly headBytes: number;
  readonly headerBytes: number;
  /** Of Pixel Data, its header included, where that is all that follows; undefined when it is in fragments. */
  readonly pixelBytes: number | undefined;
  /** Nothing behind the pixels leaves. */
  readonly endsAtPixels: boolean;
  /** Header and pixels. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** The object itself stands against what the rule asks; trying again changes nothing. */
export class NotChanged extends Failure {}

/** Until a person has looked at it. */
export class NotLookedAt extends NotChanged {}

/**
 * Reads up to the pixels.
 * @param source a data set in Little Endian, not deflated
 * @param released a person has looked at it and lets it go
 * @param headers where a long header waits for its turn; without it none does
 * @throws NotChanged when it cannot be sent as the rule asks; what the source throws
 */
export async function changeObject(
  source: AsyncIterator<Uint8Array>,
  transferSyntaxUid: string,
  transform: CompiledTransform,
  { released = false, headers }: { released?: boolean; headers?: HeaderRoom | undefined } = {},
): Promise<ChangedObject> {
  let leave: (() => void) | undefined;
  const enter = async (): Promise<void> => {
    leave ??= await headers?.enter();
  };
  try {
    const read = await readHeader(source, transferSyntaxUid, enter);
    return await changeRead(read, source, transferSyntaxUid, transform, { released, headers });
  } finally {
    leave?.();
  }
}

interface ReadHeader {
  readonly header: Buffer;
  /** What was read behind it. */
  readonly rest: Buffer;
  readonly hasPixels: boolean;
}

async function changeRead(
  { header, rest, hasPixels }: ReadHeader,
  source: AsyncIterator<Uint8Array>,
  transferSyntaxUid: string,
  transform: CompiledTransform,
  { released, headers }: { released: boolean; headers: HeaderRoom | undefined },
): Promise<ChangedObject> {
  const syntax = transferSyntax(transferSyntaxUid);
  const implicit = !syntax.explicit;
  try {
    // Of a syntax that is not known their length tells.
    const isCompressed = hasPixels && (syntax.encapsulated || isWithoutLength(rest));
    const { dataSet, stored, masking } = changeHeader(header, transferSyntaxUid, transform, {
      hasPixels,
      released,
      unfollowed: isCompressed && isUnfollowed(transferSyntaxUid) ? syntax.name : undefined,
    });
    const masked =
      stored && masking
        ? createMaskedPixels(stored, rest.subarray(0, PIXEL_HEADER_BYTES), masking.area)
        : undefined;
    const head = dataSet.bytes(implicit);
    const sentAs = sentAsOf(dataSet);
    // Behind masked pixels, too, may stand what shows them as they were.
    const codestream = transform.endsAtPixels ? QuietCodestream.for(transferSyntaxUid) : undefined;
    const pixels = transform.endsAtPixels || masked ? new PixelsOnly(implicit, codestream) : undefined;
    const isLong = head.length > SHORT_HEADER_BYTES || header.length > SHORT_HEADER_BYTES;
    // A copy of the rest, because as a view it keeps all that was read.
    const behind = isLong ? Buffer.from(rest) : rest;
    const aside = isLong ? await headers?.putAside(head) : undefined;
    return {
      ...sentAs,
      headBytes: head.length,
      headerBytes: header.length,
      pixelBytes: hasPixels ? pixelBytes(rest, implicit) : 0,
      endsAtPixels: pixels !== undefined,
      bytes: changed(aside ?? head, behind, source, { pixels, masked }),
    };
  } catch (thrown) {
    if (thrown instanceof Failure && thrown.kind === 'unavailable') throw thrown;
    throw notAsAsked(thrown);
  }
}

export function notAsAsked(thrown: unknown): NotChanged {
  const failure = asFailure(thrown);
  const Kind = thrown instanceof MayShowText ? NotLookedAt : NotChanged;
  return new Kind(failure.kind, `it is not sent as the rule asks: ${failure.message}`, { cause: thrown });
}

export interface ChangedHeader {
  readonly dataSet: EditableDataSet;
  /** As it is stored, and what is masked, where something is. */
  readonly stored: DataSet | undefined;
  readonly masking: Masking | undefined;
}

/** @throws Failure when it cannot be changed so, with why (notAsAsked) */
export function changeHeader(
  header: Buffer,
  transferSyntaxUid: string,
  transform: CompiledTransform,
  {
    hasPixels,
    released,
    unfollowed,
  }: { hasPixels: boolean; released: boolean; unfollowed?: string | undefined },
): ChangedHeader {
  const dataSet = editable(header, transferSyntaxUid);
  const stored = transform.planMask && hasPixels ? parseDataSet(header, transferSyntaxUid) : undefined;
  const masking = stored && transform.planMask?.(stored);
  transform.edit(dataSet, { masking, released, unfollowed });
  return { dataSet, stored, masking };
}

/** @throws Failure 'invalid' when the peer could not tell which object it is */
export function sentAsOf(dataSet: EditableDataSet): SentAs {
  const [studyUid, seriesUid, sopUid] = ['0020000D', '0020000E', '00080018'].map((tag) => dataSet.text(tag));
  if (!isUid(studyUid!) || !isUid(seriesUid!) || !isUid(sopUid!))
    throw new Failure('invalid', 'it has no valid UIDs of study, series and instance');
  return { studyUid: studyUid!, seriesUid: seriesUid!, sopUid: sopUid! };
}

/** @param element the first bytes of Pixel Data in Little Endian */
function pixelBytes(element: Uint8Array, implicit: boolean): number | undefined {
  const size = implicit ? 8 : PIXEL_HEADER_BYTES;
  if (element.length < size) return undefined;
  const length = readUint32(element, size - 4, false);
  return length === UNDEFINED_LENGTH ? undefined : size + length;
}

const isWithoutLength = (element: Buffer): boolean =>
  element.length >= PIXEL_HEADER_BYTES && readUint32(element, 8, false) === UNDEFINED_LENGTH;

async function readHeader(
  source: AsyncIterator<Uint8Array>,
  transferSyntaxUid: string,
  enter: () => Promise<void>,
): Promise<ReadHeader> {
  const scan = new HeaderScan(transferSyntaxUid, { keep: new Set() });
  const read: Buffer[] = [];
  let length = 0;
  // With the first bytes of the pixels' element, which say how they lie.
  while (scan.headerEnd === undefined || length < scan.headerEnd + PIXEL_HEADER_BYTES) {
    if (length > SHORT_HEADER_BYTES) await enter();
    const next = await source.next();
    if (next.done) break;
    // Copied, because the reader may use its buffer again.
    read.push(Buffer.from(next.value));
    length += next.value.length;
    scan.push(next.value);
    if (length > MAX_HEADER_BYTES && (scan.headerEnd ?? Number.POSITIVE_INFINITY) > MAX_HEADER_BYTES)
      throw new NotChanged(
        'too-large',
        `it is not sent as the rule asks: its header is longer than ${MAX_HEADER_BYTES} bytes, and no longer one is changed`,
      );
  }
  const whole = Buffer.concat(read);
  const end = scan.headerEnd ?? whole.length;
  return {
    header: whole.subarray(0, end),
    rest: whole.subarray(end),
    hasPixels: scan.headerEnd !== undefined,
  };
}

async function* changed(
  head: Buffer | HeadAside,
  rest: Buffer,
  source: AsyncIterator<Uint8Array>,
  { pixels, masked }: { pixels: PixelsOnly | undefined; masked: MaskedPixels | undefined },
): AsyncGenerator<Uint8Array> {
  if (head instanceof Uint8Array) yield head;
  else yield* readOnce(head);
  for (let chunk: Uint8Array = rest; ; ) {
    const out = pixels ? passed(pixels, chunk) : chunk;
    if (out.length > 0) yield masked ? masked.push(out) : out;
    if (pixels?.ended) return;
    const next = await source.next();
    if (next.done) break;
    chunk = next.value;
  }
  if (pixels && rest.length > 0 && !pixels.ended)
    throw notAsAsked(new Failure('invalid', 'its pixels are cut short'));
}

async function* readOnce(head: HeadAside): AsyncGenerator<Uint8Array> {
  try {
    yield* head.bytes();
  } finally {
    await head.close();
  }
}

/** What cannot be followed in the middle stands against the rule as what cannot be changed at the beginning does. */
function passed(pixels: PixelsOnly, chunk: Uint8Array): Uint8Array {
  try {
    return pixels.push(chunk);
  } catch (thrown) {
    throw notAsAsked(thrown);
  }
}
