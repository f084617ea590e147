/**
 * Keeps the pages of one search together while objects arrive (PS3.18 8.3.4.4.1): newest come first, so each arrival
 * would push a result from one page onto the next. Whoever asks for later pages gets them as of the first one: rows
 * that came after it are left out. Made by routes.ts, asked by qido.ts.
 * Held in memory and bounded: what is forgotten, or begun at another node, is answered as of now.
 */
import { createHash } from 'node:crypto';

export interface SearchPages {
  /**
   * The newest row that belongs to this page, if there is such a bound.
   * @param search what the pages of one search of one client have in common
   * @param newest asked when a first page begins
   */
  boundOf(search: string, offset: number, newest: () => Promise<number>): Promise<number | undefined>;
}

/** As long as a person may look at a page. */
const KEPT_MS = 10 * 60_000;
const MOST = 2000;

export function createSearchPages(now: () => number = Date.now): SearchPages {
  const begun = new Map<string, { bound: number; at: number }>();
  return {
    async boundOf(search, offset, newest) {
      const key = createHash('sha256').update(search).digest('base64url');
      const known = begun.get(key);
      if (offset > 0) {
        if (!known || now() - known.at > KEPT_MS) return undefined;
        begun.delete(key);
        begun.set(key, { ...known, at: now() });
        return known.bound;
      }
      const bound = await newest();
      // The oldest is first in the map.
      begun.delete(key);
      begun.set(key, { bound, at: now() });
      if (begun.size > MOST) begun.delete(begun.keys().next().value!);
      return bound;
    },
  };
}
