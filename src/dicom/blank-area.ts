/**
 * Which part of a picture is blanked, as bands of rows: pure geometry, in pixels counted from 0 at the top left.
 * Made by transform/mask-area.ts from a rule's regions; drawn by pixels/blank-frame.ts and into overlays.
 */

/** Right and bottom are the first column and row outside. */
export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Columns from (inside) and to (the first outside), apart from each other and in order. */
export type Span = readonly [from: number, to: number];

/** Rows that are blanked alike. */
export interface Band {
  readonly top: number;
  readonly bottom: number;
  readonly spans: readonly Span[];
}

/** From top to bottom, without bands of which nothing is blanked. */
export type BlankArea = readonly Band[];

/**
 * @param blanked within the picture
 * @param kept where given, everything outside of all of these is blanked, too
 */
export function blankArea(
  { rows, columns }: { rows: number; columns: number },
  blanked: readonly Rectangle[],
  kept?: readonly Rectangle[],
): BlankArea {
  const all = [...blanked, ...(kept ?? [])];
  const edges = [...new Set([0, rows, ...all.flatMap(({ top, bottom }) => [top, bottom])])].sort(
    (a, b) => a - b,
  );
  return edges.slice(0, -1).flatMap((top, index) => {
    const bottom = edges[index + 1]!;
    const within = (rectangles: readonly Rectangle[]): Span[] =>
      united(
        rectangles
          .filter((one) => one.top <= top && one.bottom >= bottom)
          .map(({ left, right }) => [left, right] as const),
      );
    const spans = united([...within(blanked), ...(kept ? between(within(kept), columns) : [])]);
    return spans.length > 0 ? [{ top, bottom, spans }] : [];
  });
}

function united(spans: readonly Span[]): Span[] {
  const result: [number, number][] = [];
  for (const [from, to] of [...spans].sort((a, b) => a[0] - b[0])) {
    const last = result.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else if (to > from) result.push([from, to]);
  }
  return result;
}

/** What the spans leave of a row. */
function between(spans: readonly Span[], columns: number): Span[] {
  const edges = [0, ...spans.flat(), columns];
  const gaps: Span[] = [];
  for (let at = 0; at < edges.length; at += 2)
    if (edges[at + 1]! > edges[at]!) gaps.push([edges[at]!, edges[at + 1]!]);
  return gaps;
}
