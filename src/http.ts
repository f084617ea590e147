/**
 * The HTTP door: mounts each room's own routes, health, metrics and the viewer; checks who a request is meant for;
 * answers every failure the rooms did not answer themselves. Made by main.ts.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import Router, { type RouterContext } from '@koa/router';
import Koa from 'koa';
import helmet from 'koa-helmet';
import serve from 'koa-static';
import { asFailure, Failure, type FailureKind } from './failure.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/** FailureKind → HTTP status (RFC 9110), for every route that has no table of its own. */
export const HTTP_STATUS: Record<FailureKind, number> = {
  invalid: 400,
  mismatch: 409,
  'not-found': 404,
  conflict: 409,
  forbidden: 403,
  'not-acceptable': 406,
  unsupported: 501,
  'too-large': 413,
  'no-space': 507,
  unavailable: 503,
  'peer-refused': 502,
  'peer-unreachable': 504,
  internal: 500,
};

export interface Readiness {
  ready: boolean;
  detail: Record<string, unknown>;
}

export interface HttpParts {
  host: string;
  port: number;
  publicUrl: string | undefined;
  /** Host names beside loopback, HTTP_HOST and PUBLIC_URL under which we are asked. */
  allowedHosts: readonly string[];
  /** Each room's own routes. */
  routers: readonly Router[];
  readiness(): Promise<Readiness>;
  metrics: Metrics;
  /** The built viewer. */
  viewerFolder: string;
  /** Silence in the middle of a request after which its connection is cut. Default 120 s. */
  silenceMs?: number;
  log: Log;
}

export interface HttpDoor {
  /** @throws Failure 'conflict' when the port is taken */
  start(): Promise<void>;
  readonly port: number;
  /** Ends idle connections at once, busy ones after the limit. */
  stop(limitMs: number): Promise<void>;
}

/** Longer than any wait of our own: a body is not read for as long as the disk or the store holds it up. */
const SILENCE_MS = 120_000;

/** Of a request's line and headers: 5,000 frames, or 900 UIDs, can be asked for at once. Node's own limit is 16 KB. */
const MAX_HEADER_BYTES = 64 * 1024;

const CONTENT_SECURITY_POLICY = {
  useDefaults: false,
  directives: {
    defaultSrc: ["'self'"],
    // Cornerstone's codecs are WebAssembly in workers made from blobs.
    scriptSrc: ["'self'", "'wasm-unsafe-eval'"],
    workerSrc: ["'self'", 'blob:'],
    styleSrc: ["'self'", "'unsafe-inline'"],
    imgSrc: ["'self'", 'blob:', 'data:'],
    connectSrc: ["'self'", 'blob:', 'data:'],
    objectSrc: ["'none'"],
    baseUri: ["'none'"],
    frameAncestors: ["'self'"],
    formAction: ["'self'"],
  },
};

export function createHttpDoor(parts: HttpParts): HttpDoor {
  const { log } = parts;
  const app = new Koa();
  const hosts = allowedHosts(parts);
  app.silent = true;
  app.on('error', (err: NodeJS.ErrnoException) => {
    // A client that goes away in the middle of an answer is not our fault.
    if (err.code === 'ECONNRESET' || err.code === 'EPIPE' || err.code === 'ERR_STREAM_PREMATURE_CLOSE')
      return;
    log.warn({ err }, 'an answer could not be finished');
  });

  app.use(async (ctx, next) => {
    if (await isItsTurn(ctx)) return next();
    ctx.respond = false;
  });
  app.use(async (ctx, next) => {
    // A client that goes on asking on its open connection must not hold up a stop.
    if (!server.listening) ctx.set('Connection', 'close');
    try {
      await next();
    } catch (thrown) {
      const failure = fromHttpError(thrown) ?? asFailure(thrown);
      // The path can hold UIDs and AE titles; the query string can hold a patient's name and is never logged.
      if (failure.kind === 'internal')
        log.error({ err: thrown, method: ctx.method, path: ctx.path }, 'a request failed');
      ctx.status = HTTP_STATUS[failure.kind];
      if (failure.retryAfterS !== undefined) ctx.set('Retry-After', String(failure.retryAfterS));
      ctx.body = {
        error: failure.kind,
        message:
          failure.kind === 'internal'
            ? 'This request failed inside the archive; the log has the cause'
            : failure.message,
      };
    }
  });
  app.use(
    helmet({
      contentSecurityPolicy: CONTENT_SECURITY_POLICY,
      strictTransportSecurity: false,
      crossOriginEmbedderPolicy: false,
    }),
  );
  app.use(async (ctx, next) => {
    checkHostAndOrigin(ctx, hosts);
    ctx.state.actor = { name: 'anonymous', address: ctx.ip.replace(/^::ffff:/, '') };
    await next();
  });

  const own = new Router();
  own.get('/health/live', (ctx) => {
    ctx.body = { live: true };
  });
  own.get('/health/ready', async (ctx) => {
    const { ready, detail } = await parts.readiness();
    ctx.status = ready ? 200 : 503;
    if (!ready) ctx.set('Retry-After', '5');
    ctx.body = { ready, ...detail };
  });
  own.get('/metrics', async (ctx) => {
    ctx.type = parts.metrics.contentType;
    ctx.body = await parts.metrics.render();
  });
  for (const router of [own, ...parts.routers]) {
    app.use(router.routes());
    const allowedMethods = router.allowedMethods();
    app.use(async (ctx, next) => {
      if (!isResource(ctx)) return next();
      await allowedMethods(ctx as RouterContext, next);
      if (ctx.status !== 405 && ctx.status !== 501) return;
      const message = `${ctx.method} is not answered at ${ctx.path}, but ${ctx.response.get('Allow')}`;
      ctx.body = { error: 'unsupported', message };
    });
  }
  app.use(async (ctx, next) => {
    if (ctx.status !== 404 || ctx.body != null) return next();
    // Known under other methods: the routers' allowedMethods() answers OPTIONS, and 405 with what there is.
    if (isResource(ctx)) return;
    if (/^\/dicom-web\/?$/.test(ctx.path))
      throw new Failure(
        'not-found',
        'This is the base of the DICOMweb service: GET /dicom-web/studies lists studies, OPTIONS tells what there is',
      );
    if (/^\/(api|dicom-web|wado|fhir|health)(\/|$)/.test(ctx.path)) throw nothingAt(ctx);
    return next();
  });
  mountViewer(app, parts.viewerFolder);

  const server = http.createServer(
    { keepAliveTimeout: 30_000, requestTimeout: 0, maxHeaderSize: MAX_HEADER_BYTES },
    app.callback(),
  );
  // A large STOW may take hours; one whose client is gone without a word must not keep its study from being stable.
  server.timeout = parts.silenceMs ?? SILENCE_MS;
  return {
    get port() {
      return (server.address() as AddressInfo | null)?.port ?? parts.port;
    },
    start: () =>
      new Promise((resolve, reject) => {
        server.once('error', (cause: NodeJS.ErrnoException) => reject(listenFailure(parts, cause)));
        server.listen(parts.port, parts.host, () => {
          server.on('error', (err) => log.error({ err }, 'the HTTP listener had an error'));
          resolve();
        });
      }),
    async stop(limitMs) {
      if (!server.listening) return;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      // Those that were answering when the stop began are idle afterwards.
      const sweep = setInterval(() => server.closeIdleConnections(), 100);
      const timer = setTimeout(() => server.closeAllConnections(), limitMs);
      await closed;
      clearInterval(sweep);
      clearTimeout(timer);
    },
  };
}

/** Names without ports; a request under any other name is a rebinding attack or a mistake. */
function allowedHosts(parts: HttpParts): ReadonlySet<string> {
  const hosts = new Set(['localhost', '127.0.0.1', '[::1]', ...parts.allowedHosts]);
  if (parts.publicUrl) hosts.add(new URL(parts.publicUrl).hostname.toLowerCase());
  hosts.add(parts.host.includes(':') ? `[${parts.host}]` : parts.host.toLowerCase());
  return hosts;
}

function checkHostAndOrigin(ctx: Koa.Context, hosts: ReadonlySet<string>): void {
  const host = (ctx.get('Host') || '').toLowerCase();
  // RFC 9112 3.2: a proxy before us may have gone by the other one.
  if (ctx.req.headersDistinct.host?.length !== 1 && host !== '')
    throw new Failure('invalid', 'The request has more than one Host header');
  const name = host.replace(/:\d+$/, '');
  // A port that is none would make the comparison below fail.
  if (!hosts.has(name) || !URL.canParse(`http://${host}`))
    throw new Failure(
      'forbidden',
      `This archive is not known as ${printable(host)}: add the name to ALLOWED_HOSTS`,
    );
  const origin = ctx.get('Origin').toLowerCase();
  if (origin !== '' && (!URL.canParse(origin) || new URL(origin).host !== new URL(`http://${host}`).host))
    throw new Failure(
      'forbidden',
      `Pages of ${printable(origin)} may not call this archive: let one proxy serve both under one address (README, ` +
        '"For viewers and other programs")',
    );
  // Images and scripts of foreign pages send no Origin; browsers say so in another header. A link may lead here.
  const isLink = ctx.get('Sec-Fetch-Mode') === 'navigate' && (ctx.method === 'GET' || ctx.method === 'HEAD');
  if (ctx.get('Sec-Fetch-Site') === 'cross-site' && !isLink)
    throw new Failure('forbidden', 'Pages of another site may not call this archive');
}

const printable = (text: string): string => JSON.stringify(text.slice(0, 100));

/**
 * A request that came before its connection's last one was answered (RFC 9112 9.3.2) waits for that: its answer would
 * wait in any case, with what it has open, and would not even hear that the client is gone.
 * @returns false when the client went away before
 */
async function isItsTurn({ req, res }: Koa.Context): Promise<boolean> {
  if (res.socket === null && !req.socket.destroyed)
    await new Promise<void>((resolve) => {
      res.once('socket', () => resolve());
      req.once('close', () => resolve());
    });
  return !req.socket.destroyed;
}

/** What Koa and its middleware throw carries a status; 4xx are the client's. */
function fromHttpError(thrown: unknown): Failure | undefined {
  if (thrown instanceof Failure || !(thrown instanceof Error)) return undefined;
  const { status } = thrown as Error & { status?: number };
  if (status === 413) return new Failure('too-large', 'The request body is too large', { cause: thrown });
  if (status === 415)
    return new Failure('invalid', 'The media type of the request is not one this call takes', {
      cause: thrown,
    });
  if (status === 400 && thrown instanceof SyntaxError)
    return new Failure('invalid', 'The body is not valid JSON', { cause: thrown });
  if (status !== undefined && status >= 400 && status < 500)
    return new Failure('invalid', 'The request cannot be read', { cause: thrown });
  return undefined;
}

const nothingAt = (ctx: Koa.Context): Failure =>
  new Failure('not-found', `There is nothing at ${ctx.method} ${ctx.path}`);

function mountViewer(app: Koa, folder: string): void {
  const files = serve(folder, {
    index: false,
    setHeaders(res, file) {
      const hashed = path.dirname(file).endsWith(`${path.sep}assets`);
      res.setHeader('Cache-Control', hashed ? 'public, max-age=31536000, immutable' : 'no-cache');
    },
  });
  app.use(async (ctx, next) => {
    // Addresses within the viewer are its own affair: they all get its page.
    // A Study UID ends as if it had a file extension.
    const isPath = path.extname(ctx.path) === '' || /^\/studies\/[\d.]+\/?$/.test(ctx.path);
    const isPage = (ctx.method === 'GET' || ctx.method === 'HEAD') && isPath;
    // A program that mistypes a path must not take the page for an answer; browsers ask for pages by name.
    if (
      isPage &&
      !/^\/(viewer\/?|studies\/[\d.]+\/?)?$/.test(ctx.path) &&
      !ctx.get('Accept').includes('text/html')
    )
      throw nothingAt(ctx);
    if (isPage) ctx.path = '/index.html';
    await files(ctx, next);
    if (ctx.status !== 404) return;
    if (!isPage) throw nothingAt(ctx);
    ctx.status = 503;
    ctx.type = 'text/plain';
    ctx.body = 'The viewer is not built yet: run "npm run viewer", then load this page again.\n';
  });
}

function listenFailure({ host, port }: HttpParts, cause: NodeJS.ErrnoException): Failure {
  if (cause.code === 'EADDRINUSE')
    return new Failure(
      'conflict',
      `HTTP port ${port} on ${host} is in use by another program: set HTTP_PORT`,
      { cause },
    );
  if (cause.code === 'EACCES')
    return new Failure(
      'forbidden',
      `this user may not listen on HTTP port ${port}: set HTTP_PORT above 1023`,
      { cause },
    );
  return new Failure('invalid', `cannot listen on HTTP_HOST ${host}, HTTP_PORT ${port} (${cause.code})`, {
    cause,
  });
}

/** Whether the path is known under some method; OPTIONS is answered for every path (dicomweb/capabilities.ts). */
function isResource(ctx: Koa.Context): boolean {
  const matched: readonly { methods: readonly string[] }[] = ctx.matched ?? [];
  return matched.some((layer) => layer.methods.some((method) => method !== 'OPTIONS'));
}
