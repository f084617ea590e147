/**
 * The order in which a reader scrolls through a series: along the normal of the slices where that means something,
 * by Instance Number where it does not. Pure; called by image-stack.ts.
 */

export interface Placed {
  instanceNumber: number | undefined;
  sopInstanceUid: string;
  /** Frame within the object, from 1. */
  frameNumber: number;
  /** Image Position (Patient) and Image Orientation (Patient), PS3.3 C.7.6.2. */
  position: readonly number[] | undefined;
  orientation: readonly number[] | undefined;
}

/** Direction cosines are written with few digits; slices of one stack differ by less than this. */
const SAME_DIRECTION = 1e-3;
/** Slices closer than a hundredth of a millimetre stand at one place. */
const SAME_PLACE = 0.01;

export function inReadingOrder<T extends Placed>(frames: readonly T[]): T[] {
  const byNumber = [...frames].sort(compareByNumber);
  const places = placesAlongNormal(byNumber);
  if (places === undefined) return byNumber;
  const byPlace = byNumber
    .map((frame, index) => ({ frame, place: places[index] ?? 0 }))
    .sort((a, b) => a.place - b.place);
  // Slices at one place belong to different moments or echoes, and only their numbers tell those apart.
  for (let i = 1; i < byPlace.length; i++) {
    if (byPlace[i]!.place - byPlace[i - 1]!.place < SAME_PLACE) return byNumber;
  }
  // Scroll the way the technologist counted, so that "slice 12" is the same slice in the report.
  if (countsDownwards(places)) byPlace.reverse();
  return byPlace.map((entry) => entry.frame);
}

/** The unit normal of a slice, from the two direction cosines of Image Orientation (Patient). */
export function normalOf(orientation: readonly number[]): [number, number, number] {
  const [rx = 0, ry = 0, rz = 0, cx = 0, cy = 0, cz = 0] = orientation;
  return [ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx];
}

function compareByNumber(a: Placed, b: Placed): number {
  const difference = (a.instanceNumber ?? Number.MAX_VALUE) - (b.instanceNumber ?? Number.MAX_VALUE);
  if (difference !== 0) return difference;
  if (a.sopInstanceUid !== b.sopInstanceUid) return a.sopInstanceUid < b.sopInstanceUid ? -1 : 1;
  return a.frameNumber - b.frameNumber;
}

/** Each frame's place in mm along the common normal, or undefined when the frames are no stack of parallel slices. */
function placesAlongNormal(frames: readonly Placed[]): number[] | undefined {
  const first = frames[0]?.orientation;
  if (first?.length !== 6) return undefined;
  const normal = normalOf(first);
  const places: number[] = [];
  for (const { orientation, position } of frames) {
    if (orientation?.length !== 6 || position?.length !== 3) return undefined;
    if (orientation.some((cosine, i) => Math.abs(cosine - first[i]!) > SAME_DIRECTION)) return undefined;
    places.push(normal[0] * position[0]! + normal[1] * position[1]! + normal[2] * position[2]!);
  }
  return places;
}

/** True when the places, taken in the order of the numbers, fall more than they rise. */
function countsDownwards(places: readonly number[]): boolean {
  const last = places.length - 1;
  return last > 0 && places[last]! < places[0]!;
}
