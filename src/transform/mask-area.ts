/**
 * Which part of an image a mask blanks: a rule's regions, reckoned for the rows and columns of the image, and what lies
 * outside of the regions that an ultrasound machine marks as picture. Called by mask.ts.
 */
import { label } from '../dicom/attributes.ts';
import { type BlankArea, blankArea, type Rectangle } from '../dicom/blank-area.ts';
import { type DataSet, int } from '../dicom/data-set.ts';
import { Failure } from '../failure.ts';

/** In pixels of a frame. */
export type Region =
  /** A bar along a whole edge. */
  | { readonly edge: 'top' | 'bottom' | 'left' | 'right'; readonly pixels: number }
  /** A rectangle, placed by its distance from one of the edges each way. */
  | ({ readonly width: number; readonly height: number } & (
      | { readonly left: number }
      | { readonly right: number }
    ) &
      ({ readonly top: number } | { readonly bottom: number }));

export interface ImageSize {
  readonly rows: number;
  readonly columns: number;
}

const ULTRASOUND_REGIONS = '00186011';
/** (0018,6018) RegionLocationMinX0, MinY0, MaxX1, MaxY1 */
const CORNERS = ['00186018', '0018601A', '0018601C', '0018601E'];

/**
 * @param kept where given, all else is blanked
 * @param where the mask stands in the rule
 * @throws Failure 'invalid' when a region covers nothing of the image: it was made for another one
 */
export function maskArea(
  size: ImageSize,
  regions: readonly Region[],
  kept: readonly Rectangle[] | undefined,
  where: string,
): BlankArea {
  const rectangles = regions.map((region, index) => {
    const clipped = clip(rectangleOf(region, size), size);
    if (clipped) return clipped;
    throw new Failure(
      'invalid',
      `${where}.regions.${index} covers nothing of the image, which has ${size.rows} rows and ${size.columns} columns`,
    );
  });
  const area = blankArea(size, rectangles, kept);
  if (area.length === 0)
    throw new Failure(
      'invalid',
      `${where} covers nothing of the image: the regions of its ${label(ULTRASOUND_REGIONS)} are all of it`,
    );
  return area;
}

/**
 * The regions that hold the picture (PS3.3 C.8.5.5), both corners inside.
 * @returns undefined when the object has none that can be read
 */
export function ultrasoundRegions(header: DataSet, size: ImageSize): Rectangle[] | undefined {
  const found = header.elements.get(ULTRASOUND_REGIONS)?.items?.map((item): Rectangle | undefined => {
    const [left, top, right, bottom] = CORNERS.map((tag) => int(item, tag));
    if (left === undefined || top === undefined || right === undefined || bottom === undefined)
      return undefined;
    return clip({ left, top, right: right + 1, bottom: bottom + 1 }, size);
  });
  const regions = found?.filter((one) => one !== undefined) ?? [];
  return regions.length > 0 ? regions : undefined;
}

function rectangleOf(region: Region, { rows, columns }: ImageSize): Rectangle {
  if ('edge' in region) {
    const { edge, pixels } = region;
    return {
      left: edge === 'right' ? columns - pixels : 0,
      top: edge === 'bottom' ? rows - pixels : 0,
      right: edge === 'left' ? pixels : columns,
      bottom: edge === 'top' ? pixels : rows,
    };
  }
  const left = 'left' in region ? region.left : columns - region.right - region.width;
  const top = 'top' in region ? region.top : rows - region.bottom - region.height;
  return { left, top, right: left + region.width, bottom: top + region.height };
}

function clip(rectangle: Rectangle, { rows, columns }: ImageSize): Rectangle | undefined {
  const left = Math.max(0, rectangle.left);
  const top = Math.max(0, rectangle.top);
  const right = Math.min(columns, rectangle.right);
  const bottom = Math.min(rows, rectangle.bottom);
  return left < right && top < bottom ? { left, top, right, bottom } : undefined;
}
