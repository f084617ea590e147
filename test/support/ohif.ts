/**
 * OHIF as a hospital would put it beside us: its built pages and our DICOMweb on one origin of 127.0.0.1, because we
 * answer no pages of other origins. What fetch-ohif.ts fetched; needs peer('ohif').
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ohifFolder } from './fetch-ohif.ts';

export interface Ohif {
  readonly url: string;
  /** What of our answers was an error, as "status method path". */
  refusals(): readonly string[];
  /** What it asked us for, as "method path". */
  asked(): readonly string[];
  stop(): Promise<void>;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
  '.woff2': 'font/woff2',
};

const CONFIG = `window.config = {
  extensions: [],
  modes: [],
  showStudyList: true,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: false,
  investigationalUseDialog: { option: 'never' },
  defaultDataSourceName: 'isocenter',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
    sourceName: 'isocenter',
    configuration: {
      friendlyName: 'Isocenter',
      name: 'isocenter',
      qidoRoot: location.origin + '/dicom-web',
      wadoRoot: location.origin + '/dicom-web',
      wadoUriRoot: location.origin + '/wado',
      qidoSupportsIncludeField: true,
      supportsFuzzyMatching: true,
      supportsWildcard: true,
      imageRendering: 'wadors',
      thumbnailRendering: 'thumbnail',
      thumbnailRequestStrategy: 'fetch',
      enableStudyLazyLoad: true,
      bulkDataURI: { enabled: true },
    },
  }],
};
`;

/** @param archive where Isocenter answers, "http://127.0.0.1:8080" */
export async function startOhif(archive: string): Promise<Ohif> {
  const refusals: string[] = [];
  const asked: string[] = [];
  const server = createServer((req, res) => {
    const path = new URL(req.url ?? '/', 'http://ohif').pathname;
    const isOurs = path.startsWith('/dicom-web/') || path === '/wado';
    if (isOurs) asked.push(`${req.method} ${req.url}`);
    const answered = isOurs ? passOn(archive, req, res, refusals) : page(path, res);
    // The browser went away, or we are stopping.
    answered.catch(() => res.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    refusals: () => refusals,
    asked: () => asked,
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Host stays as the browser wrote it, so that our addresses lead through here again. */
async function passOn(
  archive: string,
  req: IncomingMessage,
  res: ServerResponse,
  refusals: string[],
): Promise<void> {
  const { method, headers } = req;
  const onward = request(new URL(req.url!, archive), { method: method!, headers });
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    onward.once('response', resolve);
    onward.once('error', reject);
  });
  await Promise.all([pipeline(req, onward), answer]);
  const { statusCode = 502, headers: given } = await answer;
  if (statusCode >= 400) refusals.push(`${statusCode} ${method} ${req.url}`);
  res.writeHead(statusCode, given);
  await pipeline(await answer, res);
}

async function page(path: string, res: ServerResponse): Promise<void> {
  // Volumes want SharedArrayBuffer, which browsers give to isolated pages only.
  res.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
  res.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
  if (path === '/app-config.js') {
    res.writeHead(200, { 'Content-Type': TYPES['.js']! }).end(CONFIG);
    return;
  }
  const wanted = join(ohifFolder, normalize(path));
  const isFile = await stat(wanted).then(
    (entry) => entry.isFile(),
    () => false,
  );
  if (!isFile && extname(path) !== '' && !path.startsWith('/viewer')) {
    res.writeHead(404).end();
    return;
  }
  // Addresses within the viewer are its own affair: they all get its page.
  const file = isFile ? wanted : join(ohifFolder, 'index.html');
  res.writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream' });
  await pipeline(createReadStream(file), res);
}
