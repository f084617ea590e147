/**
 * The keyword somebody probably meant: of the data dictionary (PS3.6) and of others that are allowed beside it.
 * Called where a fault names an unknown keyword (rules); pure.
 */
import { keywords } from './attributes.ts';

/** The longest keyword of PS3.6 has 64 letters. */
const LONGEST = 80;

/** @returns undefined when nothing is near: more than a quarter of the letters would have to change */
export function nearestKeyword(text: string, also: readonly string[] = []): string | undefined {
  if (text.length > LONGEST) return undefined;
  const wanted = text.toLowerCase();
  let nearest: string | undefined;
  let least = Math.max(1, Math.floor(wanted.length / 4)) + 1;
  for (const candidate of [...also, ...keywords()]) {
    if (Math.abs(candidate.length - wanted.length) >= least) continue;
    const distance = edits(wanted, candidate.toLowerCase(), least);
    if (distance < least) [nearest, least] = [candidate, distance];
    if (least === 0) break;
  }
  return nearest;
}

/** Letters inserted, left out, changed or swapped with their neighbour; `limit` when there are as many or more. */
function edits(a: string, b: string, limit: number): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      let least = Math.min(last[j - 1]! + (isSame ? 0 : 1), last[j]! + 1, row[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, before[j - 2]! + 1);
      row.push(least);
    }
    if (Math.min(...row) >= limit) return limit;
    [before, last] = [last, row];
  }
  return last[b.length]!;
}
