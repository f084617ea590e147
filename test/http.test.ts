/** The HTTP door by itself, with routes made for the test: who may ask, what every fault is answered with, what is logged. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Router from '@koa/router';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Failure, type FailureKind } from '../src/failure.ts';
import { createHttpDoor, HTTP_STATUS, type HttpDoor, type HttpParts, type Readiness } from '../src/http.ts';
import { describeError } from '../src/log.ts';
import { createMetrics } from '../src/metrics.ts';
import { freePort } from './support/free-port.ts';

const lines: string[] = [];
const log = pino(
  { level: 'debug', serializers: { err: describeError } },
  { write: (line: string) => void lines.push(line) },
);
let folder: string;
let door: HttpDoor;
let ready: Readiness = { ready: true, detail: { database: 'ok' } };

function parts(more: Partial<HttpParts> = {}): HttpParts {
  const routes = new Router();
  routes.get('/api/fault/:kind', (ctx) => {
    throw new Failure(ctx.params.kind as FailureKind, 'a sentence', { retryAfterS: 7 });
  });
  routes.get('/api/crash', () => {
    throw new Error('SECRET in foreign words');
  });
  routes.get('/api/who', (ctx) => {
    ctx.body = ctx.state.actor;
  });
  routes.post('/api/only-post', (ctx) => {
    ctx.body = {};
  });
  routes.get('/api/cut', (ctx) => {
    ctx.res.destroy();
    ctx.body = 'never';
  });
  return {
    host: '127.0.0.1',
    port: 0,
    publicUrl: 'https://pacs.example/viewer',
    allowedHosts: ['archive.local'],
    routers: [routes],
    readiness: async () => ready,
    metrics: createMetrics(),
    viewerFolder: folder,
    log,
    ...more,
  };
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'isocenter-viewer-'));
  await mkdir(join(folder, 'assets'));
  writeFileSync(join(folder, 'index.html'), '<!doctype html><title>viewer</title>');
  writeFileSync(join(folder, 'assets', 'app-1a2b.js'), 'export {};');
  door = createHttpDoor(parts());
  await door.start();
});
afterAll(async () => {
  await door.stop(1000);
  rmSync(folder, { recursive: true, force: true });
});

interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  text: string;
}
/** node:http, because fetch sets Host and Sec-Fetch headers by itself. */
function ask(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { port: door.port, host: '127.0.0.1', path, method, headers, setHost: !('Host' in headers) },
      (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
        );
      },
    );
    request.on('error', reject);
    request.end();
  });
}

describe('who may ask', () => {
  it.each([
    'localhost',
    'LOCALHOST:1234',
    '127.0.0.1:8080',
    '[::1]:8080',
    'pacs.example',
    'archive.local:443',
  ])('under the name %s', async (Host) => {
    expect((await ask('/health/live', { Host })).status).toBe(200);
  });
  it.each([
    'evil.example',
    'localhost.evil.example',
    'evil.example:8080',
    '127.0.0.1.nip.io',
    'localhost:99999',
    'localhost:80:80',
    '[::1',
    '',
  ])('not under the name "%s"', async (Host) => {
    const answer = await ask('/health/live', { Host, Origin: 'http://localhost' });
    expect([400, 403]).toContain(answer.status);
  });
  it('not under two names at once', async () => {
    const socket = net.connect(door.port, '127.0.0.1');
    socket.write(
      'GET /health/live HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n',
    );
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    expect(text).toMatch(/^HTTP\/1.1 400 /);
  });
  it('says which setting would allow a name', async () => {
    const answer = await ask('/health/live', { Host: 'evil.example' });
    expect(JSON.parse(answer.text)).toEqual({
      error: 'forbidden',
      message: expect.stringMatching(/"evil.example".*ALLOWED_HOSTS/),
    });
  });

  it('pages of this archive, by their origin', async () => {
    const Host = `localhost:${door.port}`;
    expect((await ask('/health/live', { Host, Origin: `http://${Host}` })).status).toBe(200);
    const proxied = { Host: 'pacs.example', Origin: 'https://pacs.example' };
    expect((await ask('/health/live', proxied)).status).toBe(200);
  });
  it.each(['http://evil.example', 'null', 'http://localhost:1', 'file://', 'nonsense'])(
    'no pages of origin %s',
    async (Origin) => {
      const answer = await ask('/api/who', { Host: `localhost:${door.port}`, Origin });
      expect(answer.status).toBe(403);
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    },
  );
  it('no pictures in foreign pages, which send no origin; links from them lead here', async () => {
    const cross = { 'Sec-Fetch-Site': 'cross-site' };
    expect((await ask('/api/who', { ...cross, 'Sec-Fetch-Mode': 'no-cors' })).status).toBe(403);
    expect((await ask('/', { ...cross, 'Sec-Fetch-Mode': 'navigate' })).status).toBe(200);
    const form = await ask('/api/only-post', { ...cross, 'Sec-Fetch-Mode': 'navigate' }, 'POST');
    expect(form.status).toBe(403);
    expect((await ask('/api/who', { 'Sec-Fetch-Site': 'same-origin' })).status).toBe(200);
  });
  it('is told to the rooms', async () => {
    expect(JSON.parse((await ask('/api/who')).text)).toEqual({ name: 'anonymous', address: '127.0.0.1' });
  });
});

describe('faults', () => {
  it.each(Object.entries(HTTP_STATUS))('%s is answered %i as JSON', async (kind, status) => {
    const answer = await ask(`/api/fault/${kind}`);
    expect(answer.status).toBe(status);
    expect(answer.headers['retry-after']).toBe('7');
    const message = kind === 'internal' ? expect.stringContaining('the log has the cause') : 'a sentence';
    expect(JSON.parse(answer.text)).toEqual({ error: kind, message });
  });
  it('what we did not foresee says nothing outside, and in the log no foreign words', async () => {
    lines.length = 0;
    const answer = await ask('/api/crash?PatientName=DOE');
    expect(answer.status).toBe(500);
    expect(answer.text).not.toContain('SECRET');
    expect(lines.join('')).toContain('a request failed');
    expect(lines.join('')).toContain('/api/crash');
    expect(lines.join('')).not.toMatch(/SECRET|DOE|PatientName/);
  });
  it.each([
    '/api/nothing',
    '/dicom-web/nothing',
    '/fhir/nothing',
    '/health/nothing',
    '/wado/nothing',
    '/api',
  ])('there is nothing at %s, in JSON and not as a page', async (path) => {
    const answer = await ask(`${path}?PatientID=SECRET`);
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.text)).toEqual({
      error: 'not-found',
      message: `There is nothing at GET ${path}`,
    });
  });
  it('a program that mistypes a path is told so, a browser gets the page', async () => {
    for (const path of ['/dicomweb/studies', '/studies', '/studies/1.2.3/series', '/wado-rs']) {
      const answer = await ask(path, { Accept: 'application/dicom+json' });
      expect(JSON.parse(answer.text)).toMatchObject({ message: `There is nothing at GET ${path}` });
      expect((await ask(path)).status).toBe(404);
      expect((await ask(path, { Accept: 'text/html,*/*;q=0.8' })).text).toContain('<title>viewer');
    }
    expect(JSON.parse((await ask('/dicomweb/studies', {}, 'POST')).text)).toMatchObject({
      error: 'not-found',
    });
  });
  it('the base of DICOMweb says where to go from it', async () => {
    for (const path of ['/dicom-web', '/dicom-web/'])
      expect(JSON.parse((await ask(path)).text)).toMatchObject({
        error: 'not-found',
        message: expect.stringContaining('/dicom-web/studies'),
      });
  });
  it('a method a call does not have is no page either', async () => {
    const answer = await ask('/api/only-post');
    expect(answer.status).toBe(405);
    expect(JSON.parse(answer.text)).toEqual({
      error: 'unsupported',
      message: 'GET is not answered at /api/only-post, but POST',
    });
  });
  it.each(['/%', '/%ff', '/assets/%00', '/../../etc/passwd', '/assets/..%2f..%2fetc/passwd'])(
    'a path that is none (%s) is not our fault',
    async (path) => {
      const answer = await ask(path);
      expect(answer.status).toBeLessThan(500);
      expect(answer.text).not.toContain('root:');
    },
  );
  it('a client that goes away in the middle leaves the door open', async () => {
    await expect(ask('/api/cut')).rejects.toThrow();
    expect((await ask('/health/live')).status).toBe(200);
  });
});

describe('the viewer', () => {
  it('gets its page for every address of its own, with a policy against foreign code', async () => {
    for (const path of ['/', '/studies/1.2.3', '/studies/1.2.3?x=1']) {
      const { status, headers, text } = await ask(path);
      expect(status).toBe(200);
      expect(text).toContain('<title>viewer');
      const policy = String(headers['content-security-policy']);
      expect(policy).toContain("script-src 'self' 'wasm-unsafe-eval'");
      expect(policy).toContain("object-src 'none'");
      expect(policy).not.toMatch(/script-src[^;]*unsafe-inline/);
      expect(headers['x-content-type-options']).toBe('nosniff');
      expect(headers['cache-control']).toBe('no-cache');
    }
  });
  it('gets files with a hash in their name for ever, and no page for files that are not there', async () => {
    const asset = await ask('/assets/app-1a2b.js');
    expect(asset.headers['cache-control']).toContain('immutable');
    expect((await ask('/assets/gone.js')).status).toBe(404);
  });
  it('that is not built is a sentence', async () => {
    const bare = createHttpDoor(parts({ viewerFolder: join(folder, 'nowhere') }));
    await bare.start();
    const answer = await fetch(`http://127.0.0.1:${bare.port}/`);
    expect(answer.status).toBe(503);
    expect(await answer.text()).toContain('npm run viewer');
    await bare.stop(100);
  });
});

describe('health and metrics', () => {
  it('ready says what is away, with a time to come back', async () => {
    ready = { ready: false, detail: { database: 'The database is not available' } };
    const away = await ask('/health/ready');
    expect(away.status).toBe(503);
    expect(away.headers['retry-after']).toBe('5');
    expect(JSON.parse(away.text)).toEqual({ ready: false, database: 'The database is not available' });
    expect((await ask('/health/live')).status).toBe(200);
    ready = { ready: true, detail: {} };
    expect((await ask('/health/ready')).status).toBe(200);
  });
  it('metrics are text for Prometheus; a value that cannot be read does not take the others along', async () => {
    const metrics = createMetrics();
    metrics.gauge('isocenter_well', 'x', () => 7);
    metrics.gauge('isocenter_away', 'x', async () => {
      throw new Failure('unavailable', 'away');
    });
    metrics.counter('isocenter_labelled', 'x', () => [{ labels: { state: 'due' }, value: 3 }]);
    const other = createHttpDoor(parts({ metrics }));
    await other.start();
    const answer = await fetch(`http://127.0.0.1:${other.port}/metrics`);
    expect(answer.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    const text = await answer.text();
    expect(text).toContain('isocenter_well 7');
    expect(text).toContain('isocenter_labelled{state="due"} 3');
    expect(text).not.toMatch(/^isocenter_away \d/m);
    await other.stop(100);
  });
});

describe('the port', () => {
  it('that is taken is a sentence that names the setting', async () => {
    const second = createHttpDoor(parts({ port: door.port }));
    await expect(second.start()).rejects.toMatchObject({
      kind: 'conflict',
      message: expect.stringContaining('set HTTP_PORT'),
    });
    await second.stop(10);
  });
  it('cuts a request whose client has fallen silent, so that nothing waits for it for ever', async () => {
    const routes = new Router();
    const ended = Promise.withResolvers<unknown>();
    routes.post('/api/body', async (ctx) => {
      try {
        for await (const chunk of ctx.req) void chunk;
      } catch (thrown) {
        ended.resolve(thrown);
      }
    });
    const patient = createHttpDoor(parts({ routers: [routes], silenceMs: 200 }));
    await patient.start();
    const request = http.request({
      port: patient.port,
      host: '127.0.0.1',
      path: '/api/body',
      method: 'POST',
    });
    const cut = new Promise((resolve) => request.on('error', resolve));
    request.write('the first half');
    expect(await ended.promise).toMatchObject({ code: 'ECONNRESET' });
    expect(await cut).toMatchObject({ code: 'ECONNRESET' });
    await patient.stop(100);
  });
  it('stop is not held up by clients that go on asking on their open connections', async () => {
    const routes = new Router();
    routes.get('/api/often', async (ctx) => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      ctx.body = {};
    });
    const asked = createHttpDoor(parts({ routers: [routes] }));
    await asked.start();
    const url = `http://127.0.0.1:${asked.port}/api/often`;
    let answers = 0;
    const askOften = async (): Promise<void> => {
      for (;;) {
        const answer = await fetch(url).catch(() => undefined);
        if (!answer) return;
        await answer.text();
        answers++;
      }
    };
    const clients = Promise.all([askOften(), askOften(), askOften()]);
    while (answers < 10) await new Promise((resolve) => setTimeout(resolve, 5));
    const limit = Promise.withResolvers<string>();
    const timer = setTimeout(() => limit.resolve('at its limit'), 20_000);
    expect(await Promise.race([asked.stop(20_000).then(() => 'stopped'), limit.promise])).toBe('stopped');
    clearTimeout(timer);
    await clients;
  });
  it('stop ends idle connections at once and busy ones at its limit', async () => {
    const port = await freePort();
    const routes = new Router();
    const reached = Promise.withResolvers<void>();
    routes.get('/api/slow', async () => {
      reached.resolve();
      await new Promise(() => undefined);
    });
    const busy = createHttpDoor(parts({ port, routers: [routes] }));
    await busy.start();
    const slow = fetch(`http://127.0.0.1:${port}/api/slow`).catch(() => 'cut');
    await reached.promise;
    await busy.stop(50);
    expect(await slow).toBe('cut');
  });
});
