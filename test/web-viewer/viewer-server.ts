/**
 * Serves web-viewer/dist as src/http does, content security policy included, and passes /dicom-web on to another
 * DICOMweb server. For tests of the viewer by itself; journeys open it on Isocenter's own server.
 */
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, resolve } from 'node:path';

const dist = resolve(import.meta.dirname, '../../web-viewer/dist');

export const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' blob: data:",
  "connect-src 'self'",
].join('; ');

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.wasm': 'application/wasm',
};

export interface ViewerServer {
  readonly origin: string;
  stop(): Promise<void>;
}

/** `broken` answers true for requests to /dicom-web that are to fail, to see what the viewer makes of it. */
export async function startViewerServer(
  dicomWebOrigin: string,
  broken: (url: string) => boolean = () => false,
): Promise<ViewerServer> {
  const server = createServer((incoming, answer) => {
    const url = incoming.url ?? '/';
    if (!url.startsWith('/dicom-web')) void serveFile(url, answer);
    else if (broken(url)) answer.writeHead(500).end();
    else passOn(incoming, answer, dicomWebOrigin);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

/** Files of /assets by name; every other path is a page of the viewer. */
async function serveFile(url: string, answer: ServerResponse): Promise<void> {
  const path = url.split('?')[0] ?? '/';
  const file = /^\/assets\/[\w.-]+$/.test(path) ? path : '/index.html';
  try {
    const body = await readFile(join(dist, file));
    answer
      .writeHead(200, {
        'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
        'Content-Security-Policy': POLICY,
      })
      .end(body);
  } catch (error) {
    answer
      .writeHead(404, { 'Content-Type': 'text/plain' })
      .end(error instanceof Error ? error.message : 'not found');
  }
}

function passOn(incoming: IncomingMessage, answer: ServerResponse, origin: string): void {
  const onward = request(new URL(incoming.url ?? '/', origin), {
    method: incoming.method,
    headers: incoming.headers,
  });
  onward.on('response', (response) => {
    answer.writeHead(response.statusCode ?? 502, response.headers);
    response.pipe(answer);
  });
  onward.on('error', () => answer.destroy());
  incoming.on('aborted', () => onward.destroy());
  incoming.pipe(onward);
}
