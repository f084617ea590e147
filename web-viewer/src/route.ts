/**
 * Which page the address names. `/` is the study list, `/viewer?study=UID&series=UID` a study;
 * `/studies/UID` is another way to write the same study, for links from outside.
 */
import { useSyncExternalStore } from 'react';

export type Route =
  | { page: 'list'; query: string }
  /** An address that leads nowhere, or names a study by something that is no UID. */
  | { page: 'nowhere' }
  | { page: 'study'; studyUid: string; seriesUid: string | undefined };

export function readRoute(path: string, query: string): Route {
  const params = new URLSearchParams(query);
  const alias = /^\/studies\/([0-9.]+)\/?$/.exec(path)?.[1];
  const studyUid = alias ?? (/^\/viewer\/?$/.test(path) ? params.get('study') : null);
  if (!studyUid) return /^\/(viewer|studies)?\/?$/.test(path) ? { page: 'list', query } : { page: 'nowhere' };
  if (!/^[0-9.]{1,64}$/.test(studyUid)) return { page: 'nowhere' };
  return { page: 'study', studyUid, seriesUid: params.get('series') ?? undefined };
}

export function studyAddress(studyUid: string, seriesUid?: string): string {
  const params = new URLSearchParams({ study: studyUid });
  if (seriesUid !== undefined) params.set('series', seriesUid);
  return `/viewer?${params}`;
}

const CHANGED = 'isocenter:address';

/** Goes to another address of the viewer without loading the page anew. */
export function navigate(address: string, how: 'push' | 'replace' = 'push'): void {
  if (how === 'push') history.pushState(null, '', address);
  else history.replaceState(null, '', address);
  dispatchEvent(new Event(CHANGED));
}

export function useRoute(): Route {
  const address = useSyncExternalStore(subscribe, () => location.pathname + location.search);
  const url = new URL(address, location.origin);
  return readRoute(url.pathname, url.search);
}

function subscribe(listener: () => void): () => void {
  addEventListener('popstate', listener);
  addEventListener(CHANGED, listener);
  return () => {
    removeEventListener('popstate', listener);
    removeEventListener(CHANGED, listener);
  };
}
