/** The made-up series of `bench dicomweb`: what they are and where their resources lie. Written by series/series.ts. */
import {
  CT_IMAGE_STORAGE,
  ENHANCED_CT_IMAGE_STORAGE,
  type Series,
  type Shape,
  seriesUidOf,
  sopInstanceUidOf,
} from '../series/series.ts';

const CT = { modality: 'CT', sopClassUid: CT_IMAGE_STORAGE, frames: 1 } as const;

/** 200 MB: frames, rendered pictures, the whole series. */
export const CT_SERIES: Shape = {
  ...CT,
  title: 'web CT 400',
  rows: 512,
  columns: 512,
  objects: 400,
  perSeries: 400,
};

/** One object of 262 MB: its first and its last frame. */
export const MULTI_FRAME: Shape = {
  ...CT,
  sopClassUid: ENHANCED_CT_IMAGE_STORAGE,
  title: 'web multi-frame',
  rows: 256,
  columns: 256,
  frames: 2000,
  objects: 1,
  perSeries: 1,
};

/**
 * For metadata, which nobody has asked for yet: a new one in each round. The headers are those of the series above;
 * the pixels are few, since no server has to read them for this.
 */
export function freshSeries(objects: number, round: number): Shape {
  return {
    ...CT,
    title: `web fresh ${objects} ${round}`,
    rows: 64,
    columns: 64,
    objects,
    perSeries: objects,
  };
}

export interface SentSeries {
  readonly shape: Shape;
  readonly series: Series;
}

export const seriesPath = ({ shape, series }: SentSeries): string =>
  `/dicom-web/studies/${series.studyUid}/series/${seriesUidOf(shape, 1)}`;

/** @param index from 0 */
export const instancePath = (sent: SentSeries, index: number): string =>
  `${seriesPath(sent)}/instances/${sopInstanceUidOf(sent.shape, index)}`;

export const frameBytes = ({ rows, columns }: Shape): number => rows * columns * 2;
