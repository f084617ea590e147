/**
 * The query parameters of rendered resources (PS3.18 8.3.5): window, viewport, quality, annotation, iccprofile. Pure.
 * Called by rendered.ts.
 */
import { Failure } from '../failure.ts';
import type { Window } from '../pixels/presentation.ts';
import type { Viewport } from '../pixels/render-frame.ts';
import { ANNOTATIONS, type Annotation } from './annotation-lines.ts';

export interface RenderedQuery {
  readonly quality: number;
  readonly viewport?: Viewport;
  readonly window?: Window;
  readonly annotation?: readonly Annotation[];
}

export const DEFAULT_QUALITY = 90;
export const MAX_VIEWPORT = 16_384;
const SHAPES: Readonly<Record<string, Window['shape']>> = {
  '': 'LINEAR',
  linear: 'LINEAR',
  'linear-exact': 'LINEAR_EXACT',
  sigmoid: 'SIGMOID',
};

/** @throws Failure 'invalid' naming the parameter and what it must be */
export function parseRenderedQuery(parameters: URLSearchParams): RenderedQuery {
  const viewport = parameters.get('viewport');
  const window = parameters.get('window');
  const quality = parameters.get('quality');
  const annotation = parameters.get('annotation');
  checkIccProfile(parameters.get('iccprofile'));
  return {
    quality: quality === null ? DEFAULT_QUALITY : parseQuality(quality),
    ...(viewport !== null && { viewport: parseViewport(viewport) }),
    ...(window !== null && { window: parseWindow(window) }),
    ...(annotation !== null && { annotation: parseAnnotation(annotation) }),
  };
}

/** patient, technique, or both with a comma (8.3.5.1.1). */
export function parseAnnotation(text: string): Annotation[] {
  return text.split(',').map((piece) => {
    const found = ANNOTATIONS.find((one) => one === piece.trim());
    if (!found) throw new Failure('invalid', `annotation must be ${ANNOTATIONS.join(', ')} or both`);
    return found;
  });
}

/** Pictures are made without a profile (8.3.5.1.5), which is what `no` asks for. */
function checkIccProfile(text: string | null): void {
  if (text !== null && text !== 'no')
    throw new Failure('invalid', 'iccprofile can only be no: pictures are given without an ICC profile');
}

export function parseQuality(text: string, name = 'quality'): number {
  const quality = Number(text);
  if (!/^\d{1,3}$/.test(text) || quality < 1 || quality > 100)
    throw new Failure('invalid', `${name} must be a whole number from 1 to 100`);
  return quality;
}

/** vw,vh or vw,vh,sx,sy,sw,sh (8.3.5.1.3). */
function parseViewport(text: string): Viewport {
  const sentence = `viewport must be width,height, each from 1 to ${MAX_VIEWPORT}, or those and sx,sy,sw,sh`;
  const [width = Number.NaN, height = Number.NaN, ...source] = text
    .split(',')
    .map((piece) => (piece.trim() === '' ? Number.NaN : Math.round(Number(piece))));
  const inRange = (size: number): boolean => size >= 1 && size <= MAX_VIEWPORT;
  if (!inRange(width) || !inRange(height)) throw new Failure('invalid', sentence);
  if (source.length === 0) return { width, height };
  const [x = 0, y = 0, w = 0, h = 0] = source;
  const whole = [x, y, w, h].every((value) => Number.isSafeInteger(value) && Math.abs(value) <= 65_535);
  if (source.length !== 4 || !whole || x < 0 || y < 0) throw new Failure('invalid', sentence);
  return { width, height, source: { x, y, width: w, height: h } };
}

/** center,width or center,width,function (8.3.5.1.4). */
export function parseWindow(text: string, name = 'window'): Window {
  const [center = '', width = '', shape = '', ...more] = text.split(',').map((piece) => piece.trim());
  const found = SHAPES[shape.toLowerCase()];
  const numbers = [center, width].every((piece) => piece !== '' && Number.isFinite(Number(piece)));
  if (!numbers || !found || more.length > 0 || Number(width) < (found === 'LINEAR' ? 1 : Number.MIN_VALUE))
    throw new Failure(
      'invalid',
      `${name} must be center,width,function: two numbers, the width positive, and linear, linear-exact or sigmoid`,
    );
  return { center: Number(center), width: Number(width), shape: found };
}
