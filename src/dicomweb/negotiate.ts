/**
 * Chooses the form of an answer from what the client accepts and what is stored (PS3.18 8.7). Pure.
 * Called by the DICOMweb resources before their first byte; a form nobody can give is 'not-acceptable' with a
 * sentence that says what there is.
 */
import { canBeDecoded } from '../archive/decoded-object.ts';
import { EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, transferSyntax } from '../dicom/transfer-syntax.ts';
import { Failure } from '../failure.ts';
import { type AcceptedType, covers } from './media-type.ts';

const DICOM = 'application/dicom';
const DICOM_JSON = 'application/dicom+json';
const OCTET_STREAM = 'application/octet-stream';
const MULTIPART = 'multipart/related';

/** The media types of encapsulated frames (PS3.18 tables 8.7.3-4 and -5). */
const FRAME_TYPES: Readonly<Record<string, string>> = {
  '1.2.840.10008.1.2.4.50': 'image/jpeg',
  '1.2.840.10008.1.2.4.51': 'image/jpeg',
  '1.2.840.10008.1.2.4.57': 'image/jpeg',
  '1.2.840.10008.1.2.4.70': 'image/jpeg',
  '1.2.840.10008.1.2.4.80': 'image/jls',
  '1.2.840.10008.1.2.4.81': 'image/jls',
  '1.2.840.10008.1.2.4.90': 'image/jp2',
  '1.2.840.10008.1.2.4.91': 'image/jp2',
  '1.2.840.10008.1.2.4.92': 'image/jpx',
  '1.2.840.10008.1.2.4.93': 'image/jpx',
  '1.2.840.10008.1.2.4.110': 'image/jxl',
  '1.2.840.10008.1.2.4.111': 'image/jxl',
  '1.2.840.10008.1.2.4.112': 'image/jxl',
  '1.2.840.10008.1.2.4.201': 'image/jphc',
  '1.2.840.10008.1.2.4.202': 'image/jphc',
  '1.2.840.10008.1.2.4.203': 'image/jphc',
  '1.2.840.10008.1.2.5': 'image/dicom-rle',
};

/** What older clients (dicomweb-client 0.11 among them) call three of them. */
const OLDER_FRAME_TYPES: Readonly<Record<string, string>> = {
  'image/x-dicom-rle': 'image/dicom-rle',
  'image/x-jls': 'image/jls',
  'image/jhc': 'image/jphc',
};

/** DICOM JSON under its own name or, for clients that ask so, as plain JSON. */
export function chooseJson(accepted: readonly AcceptedType[]): 'application/dicom+json' | 'application/json' {
  for (const range of accepted) {
    if (covers(range, DICOM_JSON)) return DICOM_JSON;
    if (range.type === 'application/json') return 'application/json';
  }
  throw new Failure('not-acceptable', `This resource is given as ${DICOM_JSON} or application/json`);
}

export const DICOM_XML = 'application/dicom+xml';

/**
 * The results of a search (PS3.18 10.6.4): DICOM JSON as above, or Native DICOM Model XML, one part a result. Among
 * equally wanted forms the one named first.
 */
export function chooseResults(
  accepted: readonly AcceptedType[],
): 'application/dicom+json' | 'application/json' | typeof DICOM_XML {
  for (const range of accepted) {
    if (covers(range, DICOM_JSON)) return DICOM_JSON;
    if (range.type === 'application/json') return 'application/json';
    const inner = range.type === MULTIPART ? (range.parameters.get('type') ?? DICOM_XML).toLowerCase() : '';
    if (inner === DICOM_XML || range.type === 'multipart/*') return DICOM_XML;
  }
  throw new Failure(
    'not-acceptable',
    `Search results are given as ${DICOM_JSON}, application/json or ${MULTIPART}; type="${DICOM_XML}"`,
  );
}

export interface DicomForm {
  readonly multipart: boolean;
  /** Transfer syntaxes the client takes and how much it wants each, 0 to 1; `*` for any. */
  readonly syntaxes: ReadonlyMap<string, number>;
  /**
   * It names no transfer syntax: what cannot be had in the default one is given as it is stored (PS3.18 8.7.3.4, which
   * thinks of what was lossy from the start, and of pixels too long for one element).
   */
  readonly orAsStored: boolean;
}

/**
 * How whole instances are given. A range that names no transfer syntax means Explicit VR Little Endian
 * (PS3.18 8.7.3.4) where there is a way to it; one that names no media type takes whatever is stored.
 * @param single the resource is one instance, so that it can come without multipart
 */
export function chooseDicom(accepted: readonly AcceptedType[], single: boolean): DicomForm {
  const syntaxes = new Map<string, number>();
  let multipart: boolean | undefined;
  let orAsStored = false;
  for (const range of accepted) {
    const inner =
      range.type === MULTIPART ? (range.parameters.get('type') ?? DICOM).toLowerCase() : range.type;
    if (!covers({ ...range, type: inner }, DICOM) && range.type !== 'multipart/*') continue;
    const isMultipart = range.type !== DICOM || !single;
    multipart ??= isMultipart;
    if (isMultipart !== multipart) continue;
    const named = inner === DICOM;
    const said = range.parameters.get('transfer-syntax');
    const syntax = said ?? (named ? EXPLICIT_LE : '*');
    orAsStored ||= said === undefined;
    // Most wanted first: of one that is named twice, the first counts.
    if (!syntaxes.has(syntax)) syntaxes.set(syntax, range.q);
  }
  if (multipart === undefined)
    throw new Failure(
      'not-acceptable',
      `Instances are given as ${MULTIPART}; type="${DICOM}"${single ? ` or ${DICOM}` : ''}`,
    );
  return { multipart, syntaxes, orAsStored };
}

export type InstanceWay = 'as-stored' | 'to-explicit-little-endian' | 'decoded';

/**
 * How an object of this stored syntax reaches a client that takes these; undefined when it cannot.
 * DICOMweb knows no Implicit VR and no Big Endian (PS3.18 8.7.3.5.2), so those are converted even for "any".
 * As stored wins among equally wanted forms.
 */
export function instanceWay(
  stored: string,
  { syntaxes, orAsStored }: Pick<DicomForm, 'syntaxes' | 'orAsStored'>,
): InstanceWay | undefined {
  const { encapsulated, deflated } = transferSyntax(stored);
  const barred = stored === IMPLICIT_LE || stored === EXPLICIT_BE;
  const any = syntaxes.get('*') ?? 0;
  const asStored = barred ? 0 : (syntaxes.get(stored) ?? (deflated ? 0 : any));
  const explicit = syntaxes.get(EXPLICIT_LE) ?? (encapsulated ? 0 : any);
  if (asStored > 0 && asStored >= explicit) return 'as-stored';
  if (explicit > 0 && !encapsulated) return 'to-explicit-little-endian';
  if (explicit > 0 && canBeDecoded(stored)) return 'decoded';
  return asStored > 0 || orAsStored ? 'as-stored' : undefined;
}

/** The transfer syntaxes in which an object of this stored one can leave. */
export function givenSyntaxes(stored: string): string[] {
  const ways = [stored, EXPLICIT_LE].map((syntax): [string, InstanceWay | undefined] => [
    syntax,
    instanceWay(stored, { syntaxes: new Map([[syntax, 1]]), orAsStored: false }),
  ]);
  return [...new Set(ways.flatMap(([syntax, way]) => (way ? [syntax] : [])))];
}

export interface FrameForm {
  readonly multipart: boolean;
  readonly mediaType: string;
  readonly transferSyntax: string;
  /** stored: the bytes as they lie (Big Endian swapped); decoded: run through the codec. */
  readonly bytes: 'stored' | 'decoded';
}

/**
 * How frames of an object of this stored syntax are given. As stored wins over decoded among equally wanted forms.
 * `application/octet-stream; transfer-syntax=*`, which viewers send, takes the stored form under its own media type.
 * @param single one frame is asked for, so that it can come without multipart
 */
export function chooseFrames(stored: string, accepted: readonly AcceptedType[], single: boolean): FrameForm {
  const syntax = transferSyntax(stored);
  const storedType = syntax.encapsulated ? (FRAME_TYPES[stored] ?? OCTET_STREAM) : OCTET_STREAM;
  const storedSyntax = syntax.encapsulated ? stored : EXPLICIT_LE;
  let best: (FrameForm & { q: number }) | undefined;
  for (const range of accepted) {
    const named =
      range.type === MULTIPART ? (range.parameters.get('type') ?? '*/*').toLowerCase() : range.type;
    const inner = {
      ...range,
      type: range.type === 'multipart/*' ? '*/*' : (OLDER_FRAME_TYPES[named] ?? named),
    };
    const multipart = range.type !== named || !single || range.type.endsWith('/*');
    const wanted = range.parameters.get('transfer-syntax');
    const uncompressed = wanted === EXPLICIT_LE || wanted === IMPLICIT_LE;
    const takesStored = syntax.encapsulated
      ? (covers(inner, storedType) && (wanted === undefined || wanted === '*' || wanted === stored)) ||
        (inner.type === OCTET_STREAM && (wanted === '*' || wanted === stored))
      : covers(inner, OCTET_STREAM) && (wanted === undefined || wanted === '*' || uncompressed);
    const takesDecoded =
      syntax.encapsulated && covers(inner, OCTET_STREAM) && (wanted === undefined || uncompressed);
    const form: FrameForm | undefined = takesStored
      ? { multipart, mediaType: storedType, transferSyntax: storedSyntax, bytes: 'stored' }
      : takesDecoded
        ? { multipart, mediaType: OCTET_STREAM, transferSyntax: EXPLICIT_LE, bytes: 'decoded' }
        : undefined;
    if (!form) continue;
    const better =
      best === undefined ||
      range.q > best.q ||
      (range.q === best.q && form.bytes === 'stored' && best.bytes === 'decoded');
    if (better) best = { ...form, q: range.q };
  }
  if (!best)
    throw new Failure(
      'not-acceptable',
      `The frames can be had as ${storedType} with transfer syntax ${storedSyntax}` +
        (syntax.encapsulated ? `, or decoded as ${OCTET_STREAM} with transfer syntax ${EXPLICIT_LE}` : ''),
    );
  const { q: _weight, ...form } = best;
  return form;
}

export interface RenderedForm {
  readonly type: string;
  readonly multipart: boolean;
}

/**
 * The consumer format of a rendered resource (PS3.18 8.7.4).
 * @param offered what it can be had in, best first
 * @param single it can come without multipart
 */
export function chooseRendered(
  accepted: readonly AcceptedType[],
  offered: readonly string[],
  single: boolean,
): RenderedForm {
  for (const range of accepted) {
    const isMultipart = range.type === MULTIPART || range.type === 'multipart/*';
    const inner = isMultipart ? (range.parameters.get('type') ?? '*/*').toLowerCase() : range.type;
    const type = offered.find((candidate) => covers({ ...range, type: inner }, candidate));
    if (type) return { type, multipart: isMultipart || !single };
  }
  throw new Failure('not-acceptable', `This is rendered as ${offered.join(', ')}`);
}
