/** The limits a site can set, met by a raw sender: PDU, request, time to the request, silence; over TLS too. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { IMPLEMENTATION_VERSION_NAME, UID_ROOT_IMPLEMENTATION } from '../../src/dicom/uid.ts';
import {
  associateRequest,
  CT,
  connectRaw,
  echoCommand,
  IMPLICIT,
  item,
  pdata,
  pdv,
  RawPeer,
  storeCommand,
  VERIFICATION,
} from '../dimse/raw-peer.ts';
import { createAuthority } from '../support/certificates.ts';
import { type House, openHouse } from '../support/house.ts';
import { peer } from '../support/peers.ts';

const openssl = peer('openssl');
const echo = { contexts: [{ id: 1, abstractSyntax: VERIFICATION, transferSyntaxes: [IMPLICIT] }] };

async function refusal(house: House, words: RegExp): Promise<string> {
  for (let n = 0; n < 100; n++) {
    const rows = (await (await fetch(`${house.url}/api/refusals`)).json()) as {
      code: string;
      reason: string;
    }[];
    const found = rows.find(({ reason }) => words.test(reason));
    if (found) return found.code;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no refusal like ${words}`);
}

describe('a site that sets its limits', () => {
  let house: House;
  beforeAll(async () => {
    house = await openHouse({
      DICOM_MAX_PDU: '16KB',
      DICOM_MAX_REQUEST: '8KB',
      DICOM_ARTIM_S: '1',
      DICOM_IDLE_S: '1',
      PRIVATE_SOP_CLASSES: 'refuse',
      RECEIVERS: '1',
    });
  });
  afterAll(() => house?.close());

  it('announces its longest PDU and itself, and aborts a longer one', async () => {
    const peer = await connectRaw(house.dicomPort);
    const { userItems } = await peer.associate();
    expect(userItems.get(0x51)?.readUInt32BE()).toBe(16 * 1024);
    expect(userItems.get(0x52)?.toString()).toBe(UID_ROOT_IMPLEMENTATION);
    expect(userItems.get(0x55)?.toString()).toBe(IMPLEMENTATION_VERSION_NAME);
    peer.send(pdata(pdv(1, 3, storeCommand(1, '1.2.3', CT))), pdata(pdv(1, 0, Buffer.alloc(16 * 1024 + 1))));
    expect((await peer.next())?.type).toBe(7);
    expect(await refusal(house, /P-DATA-TF PDU of \d+ bytes is longer than the 16384/)).toBe('malformed');
  });

  it('does not read a longer association request', async () => {
    const peer = await connectRaw(house.dicomPort);
    peer.send(associateRequest({ extra: item(0x59, Buffer.alloc(9000)) }));
    expect((await peer.next())?.type).toBe(7);
    expect(await refusal(house, /outside 4 to 8192/)).toBe('malformed');
  });

  it('rejects one with more items than the limit, before anything else reads it', async () => {
    const roomy = await openHouse({ RECEIVERS: '1' });
    try {
      const peer = await connectRaw(roomy.dicomPort);
      const contexts = Array.from({ length: 3 }, (_, n) => ({
        id: 2 * n + 1,
        abstractSyntax: CT,
        transferSyntaxes: Array<string>(6000).fill('1.2'),
      }));
      peer.send(associateRequest({ contexts }));
      const answer = await peer.next();
      expect([answer?.type, ...(answer?.body.subarray(1, 4) ?? [])]).toEqual([3, 1, 3, 2]);
      expect(await refusal(roomy, /more than 16384 items/)).toBe('limit');
    } finally {
      await roomy.close();
    }
  });

  it('waits so long for the request, however slowly it comes', async () => {
    const peer = await connectRaw(house.dicomPort);
    const bytes = associateRequest();
    const timer = setInterval(() => peer.send(bytes.subarray(0, 1)), 200);
    peer.send(bytes.subarray(0, 6));
    const answer = await peer.next();
    clearInterval(timer);
    expect(answer?.type).toBe(7);
    expect(await refusal(house, /No A-ASSOCIATE-RQ came within 1000 ms/)).toBe('silent');
  });

  it('refuses private SOP classes and takes those younger than its table', async () => {
    const peer = await connectRaw(house.dicomPort);
    const { results } = await peer.associate({
      contexts: [
        { id: 1, abstractSyntax: '1.3.12.2.1107.5.9.1', transferSyntaxes: [IMPLICIT] },
        { id: 3, abstractSyntax: '1.2.840.10008.5.1.4.1.1.999.1', transferSyntaxes: [IMPLICIT] },
      ],
    });
    expect([results.get(1)?.result, results.get(3)?.result]).toEqual([3, 0]);
    peer.socket.destroy();
  });

  it('ends an association that falls silent', async () => {
    const peer = await connectRaw(house.dicomPort);
    await peer.associate();
    expect((await peer.next())?.type).toBe(7);
    expect(await refusal(house, /silent for 1000 ms/)).toBe('silent');
  });
});

describe.skipIf(!openssl)('over TLS (openssl)', () => {
  it('an association that speaks goes on, one that falls silent is ended', async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'isocenter-limits-'));
    const authority = await createAuthority(folder, 'ours');
    const server = await authority.issue('isocenter');
    const house = await openHouse({
      DICOM_TLS_PORT: '0',
      DICOM_TLS_KEY: server.key,
      DICOM_TLS_CERT: server.cert,
      DICOM_IDLE_S: '1',
    });
    try {
      const socket = tls.connect({
        host: '127.0.0.1',
        port: house.isocenter.dicomTlsPort!,
        ca: readFileSync(authority.cert),
        checkServerIdentity: () => undefined,
      });
      const peer = new RawPeer(socket);
      await peer.associate(echo);
      for (let n = 1; n <= 8; n++) {
        await new Promise((resolve) => setTimeout(resolve, 300));
        peer.send(pdata(pdv(1, 3, echoCommand(n))));
        expect((await peer.response()).status).toBe(0);
      }
      expect((await peer.next())?.type).toBe(7);
      expect(await refusal(house, /silent for 1000 ms/)).toBe('silent');
    } finally {
      await house.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});
