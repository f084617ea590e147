/**
 * A small STOW-RS server of the tests' own: takes a multipart body apart by its boundary and answers as it is told.
 */
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { readFileMeta } from '../../src/dicom/part10.ts';
import type { PacsEvent } from './scripted-pacs.ts';

export interface ReceivedPart {
  head: string;
  file: Buffer;
  sopUid: string;
}

export interface StowRequest {
  path: string;
  headers: http.IncomingHttpHeaders;
  parts: ReceivedPart[];
}

export interface StowReply {
  status: number;
  headers?: Record<string, string>;
  body?: unknown;
}

export type StowScript = (request: StowRequest, nth: number) => StowReply | 'close' | undefined;

export interface StowReceiver {
  readonly url: string;
  readonly requests: StowRequest[];
  /** Part 10 files by SOP Instance UID, as far as they were answered 200 or 202 and not listed as failed. */
  readonly kept: Map<string, Buffer>;
  /** Instances of requests that came whole, in order, by the time their request began; status 0 for what is kept. */
  readonly events: PacsEvent[];
  stop(): Promise<void>;
}

/** An answer as PS3.18 10.5.3 has it. */
export function stowBody(stored: readonly string[], failed: Readonly<Record<string, number>> = {}): object {
  const sequence = (items: object[]) => (items.length === 0 ? {} : { vr: 'SQ', Value: items });
  const item = (uid: string, more: object = {}) => ({
    '00081150': { vr: 'UI', Value: ['1.2.840.10008.5.1.4.1.1.2'] },
    '00081155': { vr: 'UI', Value: [uid] },
    ...more,
  });
  return {
    ...(stored.length > 0 && { '00081199': sequence(stored.map((uid) => item(uid))) }),
    ...(Object.keys(failed).length > 0 && {
      '00081198': sequence(
        Object.entries(failed).map(([uid, reason]) =>
          item(uid, { '00081197': { vr: 'US', Value: [reason] } }),
        ),
      ),
    }),
  };
}

/** @param script undefined as its answer stores everything; `early` answers before the body is read */
export async function startStowReceiver(
  script: StowScript = () => undefined,
  early?: StowReply,
  port = 0,
  tls?: https.ServerOptions,
): Promise<StowReceiver> {
  const requests: StowRequest[] = [];
  const kept = new Map<string, Buffer>();
  const events: PacsEvent[] = [];
  const onRequest: http.RequestListener = (request, response) => {
    if (early) {
      response.writeHead(early.status, early.headers).end(JSON.stringify(early.body ?? {}));
      return;
    }
    const at = new Date();
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      const parts = request.method === 'POST' ? partsOf(body, request.headers['content-type'] ?? '') : [];
      const received = { path: request.url ?? '', headers: request.headers, parts };
      requests.push(received);
      const begun = parts.map(({ sopUid }): PacsEvent => ({ association: requests.length, at, sop: sopUid }));
      events.push(...begun);
      const uids = parts.map((part) => part.sopUid);
      const reply = script(received, requests.length) ?? { status: 200, body: stowBody(uids) };
      if (reply === 'close') {
        request.socket.destroy();
        return;
      }
      const failed = JSON.stringify((reply.body as Record<string, unknown> | undefined)?.['00081198'] ?? '');
      if (reply.status === 200 || reply.status === 202)
        for (const [nth, part] of parts.entries())
          if (!failed.includes(`"${part.sopUid}"`)) {
            kept.set(part.sopUid, part.file);
            begun[nth]!.status = 0;
          }
      response.writeHead(reply.status, { 'content-type': 'application/dicom+json', ...reply.headers });
      response.end(reply.body === undefined ? '' : JSON.stringify(reply.body));
    });
  };
  const server = tls ? https.createServer(tls, onRequest) : http.createServer(onRequest);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', () => resolve()));
  return {
    url: `http${tls ? 's' : ''}://127.0.0.1:${(server.address() as AddressInfo).port}/dicom-web`,
    requests,
    kept,
    events,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function partsOf(body: Buffer, contentType: string): ReceivedPart[] {
  const boundary = /boundary="?([^";]+)"?/.exec(contentType)?.[1];
  if (!boundary) throw new Error(`no boundary in ${contentType}`);
  const parts: ReceivedPart[] = [];
  const delimiter = Buffer.from(`--${boundary}`);
  let at = body.indexOf(delimiter);
  if (at !== 0) throw new Error('the body does not begin with its boundary');
  for (;;) {
    const start = at + delimiter.length;
    if (body.subarray(start, start + 2).toString() === '--') return parts;
    const headEnd = body.indexOf('\r\n\r\n', start);
    const next = body.indexOf(Buffer.concat([Buffer.from('\r\n'), delimiter]), headEnd);
    if (headEnd < 0 || next < 0) throw new Error('a part without an end');
    const file = body.subarray(headEnd + 4, next);
    parts.push({
      head: body.subarray(start + 2, headEnd).toString(),
      file,
      sopUid: readFileMeta(file).sopInstanceUid ?? '',
    });
    at = next + 2;
  }
}
