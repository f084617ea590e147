/**
 * The object store in a bucket: the contract against a real S3 server, and what only a network does: silence, cut
 * connections, lost answers, refused keys.
 */
import { randomBytes } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'minio';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ObjectStore } from '../../../src/archive/object-store/object-store.ts';
import { createS3Store, type S3StoreParts } from '../../../src/archive/object-store/s3-store.ts';
import { createLog } from '../../../src/log.ts';
import { failureOf, objectStoreContract } from '../../contracts/object-store.contract.ts';
import { type FaultProxy, startFaultProxy } from '../../support/fault-proxy.ts';
import { freePort } from '../../support/free-port.ts';
import { allOf, collect, generatedSource, sourceOf } from '../../support/object-source.ts';
import { peer } from '../../support/peers.ts';
import type { S3Access } from '../../support/s3.ts';
import { sharedS3 } from '../../support/shared-peers.ts';

const log = createLog('warn', 'test-s3');
const newBucket = () => `test-${randomBytes(6).toString('hex')}`;
const megabyte = 1024 * 1024;

describe.skipIf(!peer('s3'))('the S3 store keeps the contract (s3)', () => {
  objectStoreContract(async () => {
    const store = createS3Store({ ...(await sharedS3()), bucket: newBucket(), log });
    await store.start();
    return { store, stop: () => store.stop() };
  });
});

describe.skipIf(!peer('s3'))('the S3 store behind a bad network (s3)', () => {
  const bucket = newBucket();
  let access: S3Access;
  let client: Client;
  let proxy: FaultProxy;
  /** Reaches the server through the proxy. */
  let store: ObjectStore;

  beforeAll(async () => {
    access = await sharedS3();
    proxy = await startFaultProxy(access.endpoint);
    store = createS3Store({ ...access, endpoint: proxy.url, bucket, log, timeoutMs: 5000 });
    await store.start();
    const { hostname, port } = new URL(access.endpoint);
    client = new Client({ ...access, endPoint: hostname, port: Number(port), useSSL: false });
  });
  afterAll(async () => {
    await store?.stop();
    await proxy?.stop();
  });

  it('gives a bucket it creates the rule for unfinished uploads, and leaves one that exists alone', async () => {
    const rules = await client.getBucketLifecycle(bucket).catch(() => null);
    // MinIO does not take such a rule and needs none.
    if (access.server === 'ceph') expect(JSON.stringify(rules)).toContain('abort-unfinished-uploads');
    const own = newBucket();
    await client.makeBucket(own);
    const other = createS3Store({ ...access, bucket: own, log });
    await other.start();
    await other.start();
    await expect(client.getBucketLifecycle(own)).rejects.toThrow();
    await other.stop();
  });

  it('asks the server for the object only once it is to be stored again', async () => {
    const source = sourceOf(randomBytes(1000));
    await store.put('again/1', source);
    proxy.clear();
    await store.put('again/1', source);
    expect(proxy.requests.map(({ method }) => method)).toEqual(['HEAD']);
  });

  it('does not believe an equal length without its hash', async () => {
    const bytes = randomBytes(1000);
    await client.putObject(bucket, 'foreign/1', Buffer.alloc(1000));
    await store.put('foreign/1', sourceOf(bytes));
    expect((await collect(store.read('foreign/1'))).equals(bytes)).toBe(true);
  });

  /** A server that says it took the object, and has something else: none, fewer bytes, or as many others. */
  it.each([
    ['nothing', undefined],
    ['fewer bytes', (bytes: Buffer) => bytes.subarray(0, 900)],
    ['other bytes', (bytes: Buffer) => Buffer.from(bytes).fill(7, 500, 501)],
  ])('does not believe a server that took %s', async (what, spoil) => {
    const bytes = Buffer.alloc(1000, 3);
    const source = sourceOf(bytes);
    const key = `liar/${what.replace(' ', '-')}`;
    proxy.clear();
    // Its answer to PUT is made up; what it has was put there behind its back, with the hash that we would send.
    proxy.inject({ fault: { kind: 'answer', status: 200 }, when: ({ method }) => method === 'PUT' });
    if (spoil)
      await client.putObject(bucket, key, spoil(bytes), undefined, {
        'x-amz-meta-sha256': source.sha256.toString('hex'),
      });
    const failure = await failureOf(store.put(key, source));
    expect(failure).toMatchObject({ kind: 'unavailable' });
    expect(failure.message).toContain('showed another or none');
    await store.put(key, source);
    expect((await collect(store.read(key))).equals(bytes)).toBe(true);
  });

  it('reads back what a server vouches for with an ETag of another kind', async () => {
    const bytes = randomBytes(1000);
    proxy.clear();
    proxy.inject({
      fault: { kind: 'lie', headers: { etag: `"${'0'.repeat(32)}"` } },
      when: ({ method }) => method === 'HEAD',
      times: Number.POSITIVE_INFINITY,
    });
    await store.put('other-etag/1', sourceOf(bytes));
    expect(proxy.requests.map(({ method }) => method)).toEqual(['HEAD', 'PUT', 'HEAD', 'GET']);
  });

  it('reports a lost answer, and the next put finds the object there', async () => {
    const source = sourceOf(randomBytes(1000));
    proxy.clear();
    proxy.inject({ fault: { kind: 'lose-answer' }, when: ({ method }) => method === 'PUT' });
    expect((await failureOf(store.put('lost/1', source))).kind).toBe('unavailable');
    proxy.clear();
    await store.put('lost/1', source);
    expect(proxy.requests.map(({ method }) => method)).toEqual(['HEAD']);
  });

  it('frees its connections when a busy server says so, again and again', async () => {
    proxy.clear();
    proxy.inject({
      fault: { kind: 'answer', status: 503, body: '<Error><Code>SlowDown</Code></Error>' },
      times: 100,
    });
    for (let round = 0; round < 10; round += 1) {
      const failures = await Promise.all(Array.from({ length: 10 }, () => failureOf(store.stat('busy/1'))));
      expect(failures.every(({ kind }) => kind === 'unavailable')).toBe(true);
    }
    expect(await store.stat('busy/1')).toBeUndefined();
  });

  it('aborts an upload in parts that was cut, and the next one succeeds', async () => {
    const source = generatedSource(80 * megabyte);
    proxy.clear();
    proxy.inject({ fault: { kind: 'refuse' }, when: ({ path }) => path.includes('partNumber=3') });
    expect((await failureOf(store.put('parts/1', source))).kind).toBe('unavailable');
    expect(await store.stat('parts/1')).toBeUndefined();
    expect(await allOf(client.listIncompleteUploads(bucket, 'parts/', true))).toEqual([]);
    await store.put('parts/1', source);
    expect(await store.stat('parts/1')).toEqual({ length: source.length });
  });

  it('does not resume what others left unfinished under its key', async () => {
    const uploadId = await client.initiateNewMultipartUpload(bucket, 'parts/2', {});
    await client.uploadPart(
      { bucketName: bucket, objectName: 'parts/2', uploadID: uploadId, partNumber: 1, headers: {} },
      Buffer.alloc(5 * megabyte),
    );
    const source = generatedSource(70 * megabyte);
    await store.put('parts/2', source);
    expect(await store.stat('parts/2')).toEqual({ length: source.length });
    await client.abortMultipartUpload(bucket, 'parts/2', uploadId);
  });

  it('lets a reader take its time, longer than a server may', async () => {
    const source = generatedSource(20 * megabyte);
    await store.put('slow/1', source);
    const impatient = createS3Store({ ...access, bucket, log, timeoutMs: 500 });
    let read = 0;
    for await (const chunk of impatient.read('slow/1')) {
      if (read === 0) await sleep(1500);
      read += chunk.length;
    }
    expect(read).toBe(source.length);
    await impatient.stop();
  });

  it('names the two variables when the server refuses the keys', async () => {
    for (const wrong of [{ secretKey: 'wrong-secret-key' }, { accessKey: 'nobody-here' }]) {
      const stranger = createS3Store({ ...access, ...wrong, bucket, log });
      const failure = await failureOf(stranger.put('x/1', sourceOf(randomBytes(10))));
      expect(failure.kind).toBe('unavailable');
      expect(failure.message).toContain('S3_ACCESS_KEY and S3_SECRET_KEY');
      expect((await failureOf(stranger.start())).kind).toBe('unavailable');
      await stranger.stop();
    }
  });

  it('says that the bucket is not there', async () => {
    const nowhere = createS3Store({ ...access, bucket: newBucket(), log });
    expect((await failureOf(nowhere.check())).kind).toBe('unavailable');
    expect((await failureOf(nowhere.put('x/1', sourceOf(randomBytes(10))))).kind).toBe('unavailable');
    expect((await failureOf(allOf(nowhere.list()))).kind).toBe('unavailable');
    await nowhere.stop();
  });
});

describe('the S3 store and a server that is none', () => {
  const parts = (endpoint: string): S3StoreParts => ({
    endpoint,
    bucket: 'nowhere',
    accessKey: 'key',
    secretKey: 'secret-key',
    region: 'us-east-1',
    timeoutMs: 300,
    log,
  });

  async function startTcp(answer: (socket: Socket) => void): Promise<{ url: string; stop(): Promise<void> }> {
    const sockets = new Set<Socket>();
    const server: Server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      answer(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (!address || typeof address === 'string') throw new Error('no port');
    return {
      url: `http://127.0.0.1:${address.port}`,
      stop: () =>
        new Promise((resolve) => {
          for (const socket of sockets) socket.destroy();
          server.close(() => resolve());
        }),
    };
  }

  async function failuresOfAll(store: ObjectStore): Promise<string[]> {
    const calls = [
      store.start(),
      store.check(),
      store.put('a/1', sourceOf(randomBytes(100_000))),
      store.put('a/2', { ...sourceOf(Buffer.alloc(0)), length: 100 * megabyte }),
      collect(store.read('a/1')),
      store.readRange('a/1', 0, 10),
      store.stat('a/1'),
      allOf(store.list()),
      store.remove('a/1'),
    ];
    return (await Promise.all(calls.map((call) => failureOf(call)))).map(({ kind }) => kind);
  }

  it('gives up on one that takes the connection and says nothing', async () => {
    const server = await startTcp((socket) => socket.resume());
    const store = createS3Store(parts(server.url));
    expect(new Set(await failuresOfAll(store))).toEqual(new Set(['unavailable']));
    await store.stop();
    await server.stop();
  });

  it('gives up on one that stops in the middle of its answer', async () => {
    const server = await startTcp((socket) => {
      socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this'));
    });
    const store = createS3Store(parts(server.url));
    const failure = await failureOf(collect(store.read('a/1')));
    expect(failure.kind).toBe('unavailable');
    expect((await failureOf(allOf(store.list()))).kind).toBe('unavailable');
    await store.stop();
    await server.stop();
  });

  it('says so when one cuts its answer short', async () => {
    const server = await startTcp((socket) => {
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this'));
    });
    const store = createS3Store(parts(server.url));
    expect((await failureOf(collect(store.read('a/1')))).kind).toBe('unavailable');
    await store.stop();
    await server.stop();
  });

  it('says so when nobody listens', async () => {
    const store = createS3Store(parts(`http://127.0.0.1:${await freePort()}`));
    expect(new Set(await failuresOfAll(store))).toEqual(new Set(['unavailable']));
    const failure = await failureOf(store.check());
    expect(failure.message).toContain('cannot be reached');
    expect(failure.message).not.toContain('secret-key');
    await store.stop();
  });

  it('refuses an endpoint with more in it than a host and a port', () => {
    for (const endpoint of [
      'http://127.0.0.1:9000/bucket',
      'http://user:word@127.0.0.1:9000',
      'http://127.0.0.1/?x',
    ]) {
      expect(() => createS3Store(parts(endpoint))).toThrow(/S3_ENDPOINT/);
    }
  });
});
