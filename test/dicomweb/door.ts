/**
 * What the DICOMweb suites share: requests as clients make them, and dicomweb-client itself over fetch.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { api } from 'dicomweb-client';
import { corpusFolder } from '../support/corpus.ts';
import { multipartDecode } from './multipart-decode.ts';

export type Json = Record<
  string,
  { vr: string; Value?: unknown[]; BulkDataURI?: string; InlineBinary?: string }
>;

export const corpusFile = (file: string): Buffer => readFileSync(path.join(corpusFolder ?? '', file));

/** A STOW body of these files. */
export function stowBody(files: readonly Uint8Array[], boundary = 'b', type = 'application/dicom'): Buffer {
  return Buffer.concat([
    ...files.flatMap((file) => [Buffer.from(`\r\n--${boundary}\r\nContent-Type: ${type}\r\n\r\n`), file]),
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ]);
}

export async function stow(
  url: string,
  files: readonly Uint8Array[],
  study = '',
): Promise<{ status: number; headers: Headers; json: Json }> {
  const response = await fetch(`${url}/dicom-web/studies${study && `/${study}`}`, {
    method: 'POST',
    headers: { 'Content-Type': 'multipart/related; type="application/dicom"; boundary="b"' },
    body: new Uint8Array(stowBody(files)),
  });
  return { status: response.status, headers: response.headers, json: (await response.json()) as Json };
}

export async function getJson(url: string): Promise<{ status: number; headers: Headers; json: Json[] }> {
  const response = await fetch(url);
  // A search without results has no body (PS3.18 8.3.4.4.1).
  const json = response.status === 204 ? [] : ((await response.json()) as Json[]);
  return { status: response.status, headers: response.headers, json };
}

/** Status and sentence of an error answer. */
export async function refusal(
  url: string,
  init?: RequestInit,
): Promise<{ status: number; error: string; message: string }> {
  const response = await fetch(url, init);
  return { status: response.status, ...((await response.json()) as { error: string; message: string }) };
}

export async function get(
  url: string,
  accept?: string,
): Promise<{ status: number; type: string; headers: Headers; bytes: Buffer }> {
  const response = await fetch(url, accept === undefined ? {} : { headers: { Accept: accept } });
  return {
    status: response.status,
    type: response.headers.get('content-type') ?? '',
    headers: response.headers,
    bytes: Buffer.from(await response.arrayBuffer()),
  };
}

export async function getParts(url: string, accept: string): Promise<{ type: string; body: Buffer }[]> {
  const { status, type, bytes } = await get(url, accept);
  if (status !== 200) throw new Error(`${status}: ${bytes.toString()}`);
  return multipartDecode(bytes, type);
}

export const value = (json: Json | undefined, tag: string): unknown => json?.[tag]?.Value?.[0];

type Client = InstanceType<typeof api.DICOMwebClient>;
type Call = (options: Record<string, string>) => Promise<unknown>;
/** The library's own types ask for options that its code does not need (`request`, `mediaTypes`). */
type ViewerClient = Client & Record<'retrieveInstance' | 'retrieveStudy' | 'retrieveSeriesMetadata', Call>;

/** dicomweb-client as a viewer uses it. */
export function dicomwebClient(url: string): ViewerClient {
  (globalThis as { XMLHttpRequest?: unknown }).XMLHttpRequest ??= FetchRequest;
  const client = new api.DICOMwebClient({ url: `${url}/dicom-web`, singlepart: '', verbose: false } as never);
  return client as ViewerClient;
}

/** As much of XMLHttpRequest as dicomweb-client touches; Node has none. */
class FetchRequest {
  responseType = '';
  readyState = 0;
  status = 0;
  response: unknown;
  onreadystatechange: (() => void) | undefined;
  #url = '';
  #method = '';
  readonly #headers: Record<string, string> = {};
  #received = new Headers();

  open(method: string, url: string): void {
    this.#method = method;
    this.#url = url;
  }
  setRequestHeader(name: string, text: string): void {
    this.#headers[name] = text;
  }
  getResponseHeader(name: string): string | null {
    return this.#received.get(name);
  }
  getAllResponseHeaders(): string {
    return [...this.#received].map(([name, text]) => `${name}: ${text}`).join('\r\n');
  }
  send(body?: RequestInit['body']): void {
    void this.#run(body);
  }
  async #run(body?: RequestInit['body']): Promise<void> {
    const response = await fetch(this.#url, {
      method: this.#method,
      headers: this.#headers,
      ...(body && { body }),
    });
    this.#received = response.headers;
    this.status = response.status;
    if (this.responseType === 'arraybuffer') this.response = await response.arrayBuffer();
    else if (this.responseType === 'json') this.response = JSON.parse((await response.text()) || 'null');
    else this.response = await response.text();
    this.readyState = 4;
    this.onreadystatechange?.();
  }
}
