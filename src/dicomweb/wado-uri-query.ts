/**
 * The query of WADO-URI (PS3.18 9.1.2): one instance by its UIDs, as DICOM or rendered. Pure. Called by wado-uri.ts.
 */
import { Failure } from '../failure.ts';
import type { Viewport } from '../pixels/render-frame.ts';
import type { Target } from './answer.ts';
import { type AcceptedType, parseAccept } from './media-type.ts';
import { checkUid } from './qido-query.ts';
import {
  DEFAULT_QUALITY,
  MAX_VIEWPORT,
  parseAnnotation,
  parseQuality,
  parseWindow,
  type RenderedQuery,
} from './rendered-query.ts';

/** Parts of the image, 0 to 1, from its top left corner (9.1.2.2.7). */
export interface Region {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

export interface WadoUriQuery {
  readonly target: Required<Target>;
  /** Of the parameter `contentType`; undefined when it is not there. */
  readonly contentTypes: AcceptedType[] | undefined;
  readonly transferSyntax: string | undefined;
  readonly frameNumber: number | undefined;
  readonly rows: number | undefined;
  readonly columns: number | undefined;
  readonly region: Region | undefined;
  readonly rendered: Omit<RenderedQuery, 'viewport'>;
}

/** @throws Failure 'invalid' naming the parameter, 'not-acceptable' for what is not done here */
export function parseWadoUri(parameters: URLSearchParams): WadoUriQuery {
  if (parameters.get('requestType') !== 'WADO')
    throw new Failure('invalid', 'requestType must be WADO (PS3.18 9.1.2.1.1)');
  if ((parameters.get('anonymize') ?? 'no') !== 'no')
    throw new Failure(
      'not-acceptable',
      'anonymize: objects are not anonymized here, and without this parameter they come with all they hold',
    );
  for (const name of ['presentationUID', 'presentationSeriesUID'])
    if (parameters.has(name))
      throw new Failure('not-acceptable', `${name}: presentation states are not applied here`);
  const contentType = parameters.get('contentType');
  return {
    target: {
      studyUid: uid(parameters, 'studyUID', '0020000D'),
      seriesUid: uid(parameters, 'seriesUID', '0020000E'),
      sopUid: uid(parameters, 'objectUID', '00080018'),
    },
    contentTypes: contentType === null ? undefined : parseAccept(contentType),
    transferSyntax: parameters.get('transferSyntax') ?? undefined,
    frameNumber: whole(parameters, 'frameNumber', 999_999_999),
    rows: whole(parameters, 'rows', MAX_VIEWPORT),
    columns: whole(parameters, 'columns', MAX_VIEWPORT),
    region: parseRegion(parameters.get('region')),
    rendered: parseRendered(parameters),
  };
}

/** The frame's part and size in pixels, as render-frame.ts wants them; undefined for all of it at its own size. */
export function viewportOf(
  { rows, columns, region }: Pick<WadoUriQuery, 'rows' | 'columns' | 'region'>,
  image: { readonly rows: number; readonly columns: number },
): Viewport | undefined {
  if (rows === undefined && columns === undefined && !region) return undefined;
  const source = region && {
    x: Math.floor(region.left * image.columns),
    y: Math.floor(region.top * image.rows),
    width: Math.max(1, Math.round((region.right - region.left) * image.columns)),
    height: Math.max(1, Math.round((region.bottom - region.top) * image.rows)),
  };
  const isSized = rows !== undefined || columns !== undefined;
  return {
    // The aspect is kept (9.1.2.2.5): one side alone decides where the other is not said.
    width: columns ?? (isSized ? MAX_VIEWPORT : source!.width),
    height: rows ?? (isSized ? MAX_VIEWPORT : source!.height),
    ...(source && { source }),
  };
}

function parseRendered(parameters: URLSearchParams): Omit<RenderedQuery, 'viewport'> {
  const center = parameters.get('windowCenter');
  const width = parameters.get('windowWidth');
  const annotation = parameters.get('annotation');
  if ((center === null) !== (width === null))
    throw new Failure('invalid', 'windowCenter and windowWidth go together (PS3.18 9.1.2.2.8)');
  const quality = parameters.get('imageQuality');
  return {
    quality: quality === null ? DEFAULT_QUALITY : parseQuality(quality, 'imageQuality'),
    ...(center !== null && { window: parseWindow(`${center},${width}`, 'windowCenter and windowWidth') }),
    ...(annotation !== null && { annotation: parseAnnotation(annotation) }),
  };
}

function uid(parameters: URLSearchParams, name: string, tag: string): string {
  const value = parameters.get(name);
  if (value === null) throw new Failure('invalid', `${name} is missing (PS3.18 9.1.2.1)`);
  checkUid(value, tag);
  return value;
}

function whole(parameters: URLSearchParams, name: string, most: number): number | undefined {
  const text = parameters.get(name);
  if (text === null) return undefined;
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value < 1 || value > most)
    throw new Failure('invalid', `${name} must be a whole number from 1 to ${most}`);
  return value;
}

function parseRegion(text: string | null): Region | undefined {
  if (text === null) return undefined;
  const numbers = text.split(',').map((piece) => (piece.trim() === '' ? Number.NaN : Number(piece)));
  const [left = 0, top = 0, right = 0, bottom = 0] = numbers;
  const inside = numbers.every((number) => number >= 0 && number <= 1);
  if (numbers.length !== 4 || !inside || left >= right || top >= bottom)
    throw new Failure(
      'invalid',
      'region must be left,top,right,bottom, each from 0 to 1, left before right and top before bottom',
    );
  return { left, top, right, bottom };
}
