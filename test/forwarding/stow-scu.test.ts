import { createHash } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { givenStableStudy } from '../routing/given-study.ts';
import { freePort } from '../support/free-port.ts';
import { startOrthanc } from '../support/orthanc.ts';
import { peer } from '../support/peers.ts';
import { type BackDoor, openBackDoor } from './back-door.ts';
import {
  type StowReceiver,
  type StowReply,
  type StowScript,
  startStowReceiver,
  stowBody,
} from './stow-receiver.ts';

let door: BackDoor;
let receiver: StowReceiver | undefined;

beforeEach(async () => {
  door = await openBackDoor();
});
afterEach(async () => {
  await door.close();
  await receiver?.stop();
  receiver = undefined;
});

async function receiving(
  script?: StowScript,
  settings: object = {},
  early?: StowReply,
): Promise<StowReceiver> {
  receiver = await startStowReceiver(script, early);
  await door.destination('cloud', { kind: 'stow', url: receiver.url, ...settings });
  await door.rule('all', { when: {}, send: ['cloud'] });
  return receiver;
}

const given = (more: Parameters<typeof givenStableStudy>[1] = {}) =>
  givenStableStudy(door.database, { store: door.store, ...more });
const nthOf = (sopUid: string): number => Number(sopUid.split('.').at(-1));

describe('to a STOW-RS server', () => {
  test('files arrive byte for byte, a few a request, in the form of PS3.18 8.6', async () => {
    const cloud = await receiving(undefined, { headers: { Authorization: 'Bearer secret' } });
    const { studyUid, dataSets } = await given({ instances: 20, pixelBytes: 200_000 });
    expect(await door.settled('delivered')).toMatchObject([{ total: 20, delivered: 20, attempts: 1 }]);
    expect(cloud.kept.size).toBe(20);
    for (const [sopUid, file] of cloud.kept)
      expect(file.subarray(-dataSets.get(sopUid)!.length).equals(dataSets.get(sopUid)!)).toBe(true);
    expect(cloud.requests.length).toBeGreaterThanOrEqual(3);
    for (const { path, headers, parts } of cloud.requests) {
      expect(path).toBe(`/dicom-web/studies/${studyUid}`);
      expect(headers['content-type']).toMatch(/^multipart\/related; type="application\/dicom"; boundary=/);
      expect(headers.authorization).toBe('Bearer secret');
      expect(Number(headers['content-length'])).toBeGreaterThan(0);
      expect(parts.length).toBeLessThanOrEqual(8);
      expect(parts[0]!.head).toContain('Content-Type: application/dicom');
    }
    const { rows } = await door.database.query(
      `select recipient, sum(instances) as instances from disclosure where channel = 'stow' group by 1`,
    );
    expect(rows).toEqual([{ recipient: new URL(cloud.url).host, instances: 20 }]);
  });

  test('an object larger than a request goes alone', async () => {
    const cloud = await receiving();
    const { dataSets, sopUids } = await given({ instances: 2, pixelBytes: 20_000_000 });
    await door.settled('delivered');
    expect(cloud.requests.map(({ parts }) => parts.length)).toEqual([1, 1]);
    const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
    for (const uid of sopUids)
      expect(digest(cloud.kept.get(uid)!.subarray(-dataSets.get(uid)!.length))).toBe(
        digest(dataSets.get(uid)!),
      );
  });

  test('202 with a failed instance parks that one and delivers the others', async () => {
    await receiving(({ parts }) => {
      const failed = parts.filter(({ sopUid }) => nthOf(sopUid) === 2).map(({ sopUid }) => [sopUid, 0xa900]);
      const stored = parts.map(({ sopUid }) => sopUid).filter((uid) => nthOf(uid) !== 2);
      return { status: failed.length > 0 ? 202 : 200, body: stowBody(stored, Object.fromEntries(failed)) };
    });
    await given({ instances: 10 });
    const [delivery] = await door.settled('parked');
    expect(delivery).toMatchObject({ delivered: 9, failed: 1, attempts: 1 });
    expect(delivery!.lastError).toMatch(/0xA900 Error: Data Set does not match SOP Class/);
  });

  test('409 names every failed instance; out of resources is tried again', async () => {
    let full = true;
    const cloud = await receiving(({ parts }) =>
      full
        ? { status: 409, body: stowBody([], Object.fromEntries(parts.map(({ sopUid }) => [sopUid, 0xa700]))) }
        : undefined,
    );
    await given({ instances: 2 });
    expect(await door.failing()).toMatchObject({ failed: 0, lastError: '0xA700 Refused: Out of Resources' });
    full = false;
    await door.settled('delivered');
    expect(cloud.kept.size).toBe(2);
  });

  test('400 without a word of which: they are sent one by one, and only the bad one is parked', async () => {
    const cloud = await receiving(({ parts }) =>
      parts.some(({ sopUid }) => nthOf(sopUid) === 3)
        ? { status: 400, body: { message: 'bad part' } }
        : undefined,
    );
    await given({ instances: 6 });
    const [delivery] = await door.settled('parked');
    expect(delivery).toMatchObject({ delivered: 5, failed: 1 });
    expect(delivery!.lastError).toMatch(/HTTP 400 Bad Request: bad part/);
    expect(cloud.kept.size).toBe(5);
  });

  test.each([401, 403, 404])('%i parks the delivery at once, in words', async (status) => {
    const cloud = await receiving(() => ({ status }));
    await given({ instances: 20 });
    const [delivery] = await door.settled('parked');
    expect(delivery).toMatchObject({ delivered: 0, failed: 0, attempts: 1 });
    expect(delivery!.lastError).toMatch(new RegExp(`^HTTP ${status} `));
    expect(cloud.requests).toHaveLength(1);
  });

  test('401 before the body is read does not hang', async () => {
    await receiving(undefined, {}, { status: 401 });
    await given({ instances: 3, pixelBytes: 4_000_000 });
    const [delivery] = await door.settled('parked');
    expect(delivery!.lastError).toMatch(/HTTP 401|did not answer/);
  });

  test('413 before the body is read is the answer for each instance', async () => {
    await receiving(undefined, {}, { status: 413 });
    await given({ instances: 3, pixelBytes: 4_000_000 });
    const [delivery] = await door.settled('parked');
    expect(delivery).toMatchObject({ failed: 3, attempts: 1 });
    expect(delivery!.lastError).toMatch(/3 of 3 instances were refused: HTTP 413 Content Too Large/);
  });

  test.each([500, 503, 429])('%i is tried again until it passes', async (status) => {
    const cloud = await receiving((_request, nth) =>
      nth === 1 ? { status, headers: { 'retry-after': '1' } } : undefined,
    );
    await given({ instances: 1 });
    expect(await door.settled('delivered')).toMatchObject([{ attempts: 2 }]);
    expect(cloud.kept.size).toBe(1);
  });

  test('504 for one study alone does not hold up the others', async () => {
    let heavy = '';
    const cloud = await receiving(({ path }) => (path.endsWith(heavy) ? { status: 504 } : undefined));
    heavy = (await given({ instances: 1 })).studyUid;
    await door.failing();
    for (let n = 0; n < 3; n++) await given({ instances: 1 });
    await expect.poll(() => cloud.kept.size, { timeout: 20_000 }).toBe(3);
    const left = async () => (await door.deliveries()).filter(({ state }) => state !== 'delivered');
    // What the receiver has is written a moment later.
    await expect
      .poll(left, { timeout: 5000 })
      .toMatchObject([{ study: heavy, lastError: expect.stringContaining('HTTP 504') }]);
  });

  test('200 before it has the body is no proof, whatever it names', async () => {
    const hasty = http.createServer((request, response) => {
      request.once('data', () => {
        request.pause();
        void door.database
          .query<{ uid: string }>('select sop_uid as uid from delivery_instance')
          .then(({ rows }) => response.end(JSON.stringify(stowBody(rows.map(({ uid }) => uid)))));
      });
    });
    await new Promise<void>((resolve) => hasty.listen(0, '127.0.0.1', () => resolve()));
    try {
      const { port } = hasty.address() as AddressInfo;
      await door.destination('cloud', { kind: 'stow', url: `http://127.0.0.1:${port}/dicom-web` });
      await door.rule('all', { when: {}, send: ['cloud'] });
      await given({ instances: 1, pixelBytes: 30_000_000 });
      const { lastError } = await door.failing();
      expect(lastError).toContain('it said that it stored the instance before it had all of the request');
      expect((await door.instances())[0]!.state).toBe('owed');
    } finally {
      hasty.closeAllConnections();
      await new Promise((resolve) => hasty.close(resolve));
    }
  });

  test('of a request that a busy server took in part, what it stored is not sent again', async () => {
    const isBusyFor = (uid: string): boolean => nthOf(uid) <= 4;
    const cloud = await receiving(({ parts }, nth) => {
      if (nth > 1) return undefined;
      const uids = parts.map(({ sopUid }) => sopUid);
      const failed = Object.fromEntries(uids.filter(isBusyFor).map((uid) => [uid, 0xa700]));
      return {
        status: 202,
        body: stowBody(
          uids.filter((uid) => !isBusyFor(uid)),
          failed,
        ),
      };
    });
    await given({ instances: 6 });
    await door.settled('delivered');
    const repeated = cloud.requests[1]!.parts.map(({ sopUid }) => sopUid);
    expect(repeated.length).toBeGreaterThan(0);
    expect(repeated.every(isBusyFor)).toBe(true);
  });

  test('an answer without an end is not waited for, however it trickles', async () => {
    await door.close();
    door = await openBackDoor({ timeouts: { connectMs: 1000, answerMs: 700 } });
    let asked = 0;
    const trickling = http.createServer((request, response) => {
      request.resume().on('end', () => {
        asked++;
        response.writeHead(200, { 'content-type': 'application/dicom+json' });
        const drip = setInterval(() => response.write(' '), 100);
        response.on('close', () => clearInterval(drip));
      });
    });
    await new Promise<void>((resolve) => trickling.listen(0, '127.0.0.1', () => resolve()));
    try {
      const { port } = trickling.address() as AddressInfo;
      await door.destination('cloud', { kind: 'stow', url: `http://127.0.0.1:${port}/dicom-web` });
      await door.rule('all', { when: {}, send: ['cloud'] });
      await given({ instances: 1 });
      expect((await door.failing()).lastError).toContain('its answer did not end within 700 ms');
      expect(asked).toBe(1);
    } finally {
      trickling.closeAllConnections();
      await new Promise((resolve) => trickling.close(resolve));
    }
  });

  test('whose credentials this process cannot open waits in words, and goes on when they are given anew', async () => {
    await door.close();
    door = await openBackDoor({ secretsKeys: { seal: 'a key of this test, which is long enough' } });
    const cloud = await receiving(undefined, { headers: { Authorization: 'Bearer of before' } });
    // As another key sealed it.
    await door.database.query(
      `update destination set settings = jsonb_set(settings, '{headers,Authorization}',
         to_jsonb(overlay(settings #>> '{headers,Authorization}' placing 'AAAA' from 30)))`,
    );
    await given({ instances: 2 });
    expect((await door.failing()).lastError).toMatch(
      /^headers\.Authorization of cloud is sealed with a key that this process has not got: start it with/,
    );
    expect(cloud.requests, 'nothing left without them').toEqual([]);
    await door.destination('cloud', {
      ...{ kind: 'stow', url: cloud.url },
      headers: { Authorization: 'Bearer anew' },
    });
    await door.settled('delivered');
    expect(cloud.requests[0]!.headers.authorization).toBe('Bearer anew');
  });

  test('a server that is away gets everything later, and no disclosure is recorded before', async () => {
    const port = await freePort();
    await door.destination('cloud', { kind: 'stow', url: `http://127.0.0.1:${port}/dicom-web` });
    await door.rule('all', { when: {}, send: ['cloud'] });
    await given({ instances: 3 });
    expect((await door.failing()).lastError).toMatch(
      /127\.0\.0\.1:\d+ did not answer: nothing listens on that port \(ECONNREFUSED\)/,
    );
    expect((await door.database.query('select 1 from disclosure')).rowCount).toBe(0);
    receiver = await startStowReceiver(undefined, undefined, port);
    await door.settled('delivered');
    expect(receiver.kept.size).toBe(3);
  });

  test('a connection lost at one instance costs the others nothing', async () => {
    let lost = 0;
    const cloud = await receiving(({ parts }) =>
      parts.some(({ sopUid }) => nthOf(sopUid) === 1) && ++lost < 3 ? 'close' : undefined,
    );
    await given({ instances: 5 });
    await door.settled('delivered');
    expect(cloud.kept.size).toBe(5);
  });
});

describe.skipIf(!peer('orthanc'))('to Orthanc (needs orthanc)', () => {
  test('data sets arrive byte for byte', async () => {
    const orthanc = await startOrthanc();
    try {
      await door.destination('orthanc', { kind: 'stow', url: orthanc.dicomWebUrl });
      await door.rule('all', { when: {}, send: ['orthanc'] });
      const { dataSets } = await given({ instances: 12 });
      await door.settled('delivered');
      const instances = (await orthanc.get('/instances?expand')) as {
        ID: string;
        MainDicomTags: { SOPInstanceUID: string };
      }[];
      expect(instances).toHaveLength(12);
      for (const { ID, MainDicomTags } of instances) {
        const response = await fetch(`${orthanc.url}/instances/${ID}/file`);
        const file = Buffer.from(await response.arrayBuffer());
        const dataSet = dataSets.get(MainDicomTags.SOPInstanceUID)!;
        expect(file.subarray(-dataSet.length).equals(dataSet)).toBe(true);
      }
    } finally {
      await orthanc.stop();
    }
  });
});
