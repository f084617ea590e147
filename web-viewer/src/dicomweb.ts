/**
 * The viewer's only way to the archive: QIDO-RS and WADO-RS at /dicom-web on the origin the page came from
 * (PS3.18 10.4 and 10.6). Called by the pages, and by frame-loader.ts for pixels.
 */
import type { Dataset } from './dataset.ts';
import { onlyPart, type Part } from './multipart.ts';
import { readSeries, readStudy, type Series, type Study } from './study.ts';

const ROOT = '/dicom-web';

/** An answer that is no answer, with a sentence fit to be read by the person who waits for it. */
export class ArchiveError extends Error {
  readonly status: number | undefined;

  constructor(message: string, status: number | undefined, cause?: unknown) {
    super(message, { cause });
    this.name = 'ArchiveError';
    this.status = status;
  }
}

export async function searchStudies(params: URLSearchParams, signal: AbortSignal): Promise<Study[]> {
  return (await getJson(`/studies?${params}`, signal)).map(readStudy);
}

/** The study itself, or undefined when the archive does not hold it. */
export async function findStudy(studyUid: string, signal: AbortSignal): Promise<Study | undefined> {
  const params = new URLSearchParams({ StudyInstanceUID: studyUid, includefield: '00081030', limit: '1' });
  return (await searchStudies(params, signal))[0];
}

export async function findSeries(studyUid: string, signal: AbortSignal): Promise<Series[]> {
  const path = `/studies/${encodeURIComponent(studyUid)}/series?includefield=0008103E`;
  return (await getJson(path, signal)).map(readSeries);
}

export async function seriesMetadata(
  studyUid: string,
  seriesUid: string,
  signal: AbortSignal,
): Promise<Dataset[]> {
  return getJson(`${seriesPath(studyUid, seriesUid)}/metadata`, signal);
}

export async function instanceMetadata(
  studyUid: string,
  seriesUid: string,
  sopUid: string,
  signal: AbortSignal,
): Promise<Dataset[]> {
  return getJson(`${instancePath(studyUid, seriesUid, sopUid)}/metadata`, signal);
}

/** One instance from the middle of the series, which shows more of the patient than its first does. */
export async function middleInstance(
  studyUid: string,
  series: Series,
  signal: AbortSignal,
): Promise<Dataset | undefined> {
  const offset = Math.floor((series.instanceCount ?? 1) / 2);
  const path = `${seriesPath(studyUid, series.seriesInstanceUid)}/instances?includefield=00280008,00280010,00280011,00280100&limit=1&offset=${offset}`;
  return (await getJson(path, signal))[0];
}

/** Where one frame's pixels are; frames are counted from 1 (PS3.18 10.4.1.1.6). */
export function frameUrl(studyUid: string, seriesUid: string, sopUid: string, frame: number): string {
  return `${location.origin}${ROOT}${instancePath(studyUid, seriesUid, sopUid)}/frames/${frame}`;
}

/** Where a browser shows an instance as what it is: a report as a page, a document as itself (PS3.18 10.4.1.1.3). */
export function renderedUrl(studyUid: string, seriesUid: string, sopUid: string): string {
  return `${ROOT}${instancePath(studyUid, seriesUid, sopUid)}/rendered`;
}

/** A small picture of one frame, rendered by the server (PS3.18 10.4.1.1.3). */
export async function renderedFrame(
  studyUid: string,
  seriesUid: string,
  sopUid: string,
  frame: number,
  size: number,
  signal: AbortSignal,
): Promise<Blob> {
  const path = `${instancePath(studyUid, seriesUid, sopUid)}/frames/${frame}/rendered?viewport=${size},${size}`;
  return (await get(ROOT + path, 'image/jpeg', signal)).blob();
}

/** The bytes of one frame and their media type, as they are stored (PS3.18 10.4.1.1.6). `url` comes from frameUrl. */
export async function fetchFrame(url: string): Promise<Part> {
  const { pathname, search } = new URL(url);
  // The quotes matter to strict servers: a slash is no token character (RFC 9110 5.6.2).
  return getPart(pathname + search, 'multipart/related; type="application/octet-stream"; transfer-syntax=*');
}

/** The bytes behind a BulkDataURI. Only this origin's are fetched: the page may connect to no other. */
export async function bulkData(uri: string, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const { pathname, search } = new URL(uri, `${location.origin}${ROOT}/`);
  return (await getPart(pathname + search, 'multipart/related; type="application/octet-stream"', signal))
    .bytes;
}

function seriesPath(studyUid: string, seriesUid: string): string {
  return `/studies/${encodeURIComponent(studyUid)}/series/${encodeURIComponent(seriesUid)}`;
}

function instancePath(studyUid: string, seriesUid: string, sopUid: string): string {
  return `${seriesPath(studyUid, seriesUid)}/instances/${encodeURIComponent(sopUid)}`;
}

async function getJson(path: string, signal: AbortSignal): Promise<Dataset[]> {
  const response = await get(ROOT + path, 'application/dicom+json', signal);
  // QIDO-RS answers "nothing matched" with 204 and no body (PS3.18 8.3.4 and 10.6.3).
  if (response.status === 204) return [];
  const words = await readBody(() => response.text(), signal);
  const body = parseJson(words, response.status);
  if (!Array.isArray(body))
    throw new ArchiveError('The archive sent an answer that the viewer cannot read.', response.status);
  return body;
}

function parseJson(words: string, status: number): unknown {
  try {
    return JSON.parse(words);
  } catch (cause) {
    throw new ArchiveError('The archive sent an answer that the viewer cannot read.', status, cause);
  }
}

async function getPart(path: string, accept: string, signal?: AbortSignal): Promise<Part> {
  const response = await get(path, accept, signal);
  const body = await readBody(() => response.arrayBuffer(), signal);
  const part = onlyPart(response.headers.get('Content-Type') ?? '', body);
  if (part === undefined)
    throw new ArchiveError('The archive sent an answer that is cut short.', response.status);
  return part;
}

/** A connection that breaks in the middle of an answer is the archive's failure as well. */
async function readBody<T>(read: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    signal?.throwIfAborted();
    throw new ArchiveError('The archive broke off in the middle of its answer.', undefined, cause);
  }
}

async function get(path: string, accept: string, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { headers: { Accept: accept }, ...(signal && { signal }) });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new ArchiveError(
      'The archive cannot be reached. Check the connection, then try again.',
      undefined,
      cause,
    );
  }
  if (!response.ok) throw new ArchiveError(sentenceFor(response.status), response.status);
  return response;
}

function sentenceFor(status: number): string {
  if (status === 401 || status === 403) return 'You are not signed in, or not allowed to see this.';
  if (status === 404 || status === 410) return 'The archive does not hold this.';
  if (status === 400) return 'The archive could not make sense of what was asked for (HTTP 400).';
  if (status === 503) return 'The archive is busy or starting. Try again in a moment.';
  return `The archive could not answer (HTTP ${status}).`;
}
