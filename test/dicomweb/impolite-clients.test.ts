/** Clients that ask for much and go away, one request behind the other: nothing stays open for them, nobody gets another's bytes. */
import { readdirSync, readlinkSync } from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { uint16 } from '../dicom/elements.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { get, stow } from './door.ts';
import { madeObject } from './made-object.ts';

const ROWS = 2048;
const PIXELS = Buffer.alloc(2 * ROWS * ROWS * 2);
let house: House;

beforeAll(async () => {
  house = await openHouse();
  for (let at = 0; at < PIXELS.length; at += 4) PIXELS.writeUInt32LE(at, at);
  const files = [1, 2, 3].map((n) =>
    madeObject({
      study: '8.8',
      instance: `8.8.9.${n}`,
      elements: [
        ['00280010', 'US', uint16(ROWS)],
        ['00280011', 'US', uint16(2 * ROWS)],
      ],
      pixels: PIXELS,
    }),
  );
  expect((await stow(house.url, files)).status).toBe(200);
  await eventually(async () => {
    const { rows } = await house.db.database.query(`select 1 from object where location <> 'store'`);
    return rows.length === 0 ? true : undefined;
  }, 'the store');
}, 60_000);
afterAll(() => house?.close());

/** Objects of the store that this process has open. */
const openObjects = (): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).includes(`${house.dataFolder}/objects`);
    } catch {
      return false;
    }
  }).length;

it.each([
  ['an original', (n: number) => `/api/instances/8.8.9.${n}/original`, '*/*'],
  [
    'a frame',
    (n: number) => `/dicom-web/studies/8.8/series/8.8.1/instances/8.8.9.${n}/frames/1`,
    'application/octet-stream',
  ],
  ['a study', () => '/dicom-web/studies/8.8', 'multipart/related; type="application/dicom"'],
])('one that asks for %s, five times ahead, and goes leaves nothing open', async (_, path, accept) => {
  const socket = net.connect(Number(new URL(house.url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  socket.pause();
  const ask = (n: number) => `GET ${path(n)} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: ${accept}\r\n\r\n`;
  socket.write([1, 2, 3, 1, 2].map(ask).join(''));
  await expect.poll(openObjects).toBeGreaterThan(0);
  await sleep(300);
  socket.destroy();
  await expect.poll(openObjects, { timeout: 5000 }).toBe(0);
});

it('the answers to requests one behind the other are each its own', async () => {
  const socket = net.connect(Number(new URL(house.url).port), '127.0.0.1');
  const paths = [1, 2, 3].map((n) => `/dicom-web/studies/8.8/series/8.8.1/instances/8.8.9.${n}/frames/1`);
  const from = [0, 100, 5_000_001, 2_000_000, 7];
  socket.write(
    from
      .map(
        (at, n) =>
          `GET ${paths[n % 3]} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/octet-stream\r\nRange: bytes=${at}-${at + 3_000_000}\r\n${n === from.length - 1 ? 'Connection: close\r\n' : ''}\r\n`,
      )
      .join(''),
  );
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  let rest = Buffer.concat(chunks);
  for (const at of from) {
    const head = rest.indexOf('\r\n\r\n') + 4;
    expect(rest.subarray(0, head).toString('latin1')).toContain('206');
    const body = rest.subarray(head, head + 3_000_001);
    expect(body.equals(PIXELS.subarray(at, at + 3_000_001))).toBe(true);
    rest = rest.subarray(head + 3_000_001);
  }
  expect(rest.length).toBe(0);
});

it('a failure before the first byte can be read by who takes gzip', async () => {
  await house.db.database.query('alter table disclosure rename to away');
  const answer = await get(`${house.url}/dicom-web/studies/8.8/metadata`);
  await house.db.database.query('alter table away rename to disclosure');
  expect(answer.headers.get('content-encoding')).toBeNull();
  expect(answer.status).toBe(500);
});
