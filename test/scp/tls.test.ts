/**
 * DICOM over TLS (PS3.15 B.12) with DCMTK's tools and certificates of this run: who gets in, who does not, and that
 * each refusal is listed with its reason. Versions and suites are asked for with Node's own client.
 */
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLog } from '../../src/log.ts';
import { CIPHER_SUITES } from '../../src/scp/tls.ts';
import { followTlsFiles, readTlsFiles } from '../../src/scp/tls-files.ts';
import { associateRequest, connectRaw, RawPeer } from '../dimse/raw-peer.ts';
import { anObject } from '../support/an-object.ts';
import { type Authority, createAuthority, type Identity } from '../support/certificates.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { fileOf, originalDataSet } from '../support/modality.ts';
import { peer } from '../support/peers.ts';

const run = promisify(execFile);
const dcmtk = peer('dcmtk');
const openssl = peer('openssl');

let folder: string;
let ours: Authority;
let theirs: Authority;
let server: Identity;
let ct1: Identity;
let ct2: Identity;
let stranger: Identity;

beforeAll(async () => {
  if (!openssl) return;
  folder = await mkdtemp(path.join(os.tmpdir(), 'isocenter-tls-'));
  [ours, theirs] = await Promise.all([createAuthority(folder, 'ours'), createAuthority(folder, 'theirs')]);
  [server, ct1, ct2, stranger] = await Promise.all([
    ours.issue('isocenter', { altNames: 'DNS:localhost,IP:127.0.0.1' }),
    ours.issue('ct1', { altNames: 'DNS:ct1.example' }),
    ours.issue('ct2'),
    theirs.issue('ct1'),
  ]);
});
afterAll(async () => {
  if (folder) await rm(folder, { recursive: true, force: true });
});

const settings = (more: Record<string, string> = {}): Record<string, string> => ({
  DICOM_TLS_PORT: '0',
  DICOM_TLS_KEY: server.key,
  DICOM_TLS_CERT: server.cert,
  DICOM_TLS_CA: ours.cert,
  ...more,
});
const tlsPort = (house: House): number => house.isocenter.dicomTlsPort!;

/** Refusals of associations as they are listed: code and sentence. */
async function refused(
  house: House,
  words: RegExp,
): Promise<{ code: string; reason: string; address: string }> {
  return eventually(async () => {
    const response = await fetch(`${house.url}/api/refusals`);
    const rows = (await response.json()) as { code: string; reason: string; address: string }[];
    return rows.find(({ reason }) => words.test(reason));
  }, `a refusal like ${words}`);
}

async function put(house: House, name: string, json: object): Promise<void> {
  const response = await fetch(`${house.url}/api/aes/${name}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(json),
  });
  expect(await response.text()).toContain(name);
  expect(response.ok).toBe(true);
}

/** One association over TLS; the type of the PDU that answers, undefined when the connection is closed instead. */
async function associate(
  port: number,
  calling: string,
  options: tls.ConnectionOptions,
): Promise<{ answer: number | undefined; socket: tls.TLSSocket }> {
  const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  const raw = new RawPeer(socket);
  raw.send(associateRequest({ calling }));
  const answer = await raw.next();
  return { answer: answer?.type, socket };
}

describe.skipIf(!dcmtk || !openssl)('DICOM over TLS with client certificates (dcmtk, openssl)', () => {
  let house: House;
  const env = { ...process.env, TCP_NODELAY: '1' };
  const echo = (aet: string, port: number, identity?: Identity, ...more: string[]) =>
    run(
      dcmtk!.echoscu!,
      [
        ...['-v', '-aet', aet, '-aec', 'ISOCENTER', '-to', '20', '-ta', '20', '-td', '20'],
        ...(identity ? ['+tls', identity.key, identity.cert] : ['+tla']),
        ...['+cf', ours.cert, ...more, '127.0.0.1', String(port)],
      ],
      { env, timeout: 60_000 },
    );

  beforeAll(async () => {
    house = await openHouse(settings({ DICOM_ARTIM_S: '3' }));
    await put(house, 'ct1', { aeTitle: 'CT1', tls: 'required', certificate: { commonName: 'ct1' } });
    await put(house, 'plain', { aeTitle: 'PLAIN' });
  });
  afterAll(() => house?.close());

  it('the AE with its own certificate is answered', async () => {
    await echo('CT1', tlsPort(house), ct1);
  });

  it('and stores, byte for byte', async () => {
    const object = anObject();
    const file = path.join(folder, 'object.dcm');
    await writeFile(file, fileOf(object));
    await run(
      dcmtk!.storescu!,
      [
        ...['-aet', 'CT1', '-aec', 'ISOCENTER', '+tls', ct1.key, ct1.cert, '+cf', ours.cert],
        ...['127.0.0.1', String(tlsPort(house)), file],
      ],
      { env },
    );
    expect((await originalDataSet(house, object.sop)).equals(object.dataSet)).toBe(true);
  });

  it("with another modality's certificate it is rejected: calling AE title not recognized", async () => {
    await expect(echo('CT1', tlsPort(house), ct2)).rejects.toThrow(/Calling AE Title Not Recognized/);
    expect(await refused(house, /CT1 at 127.0.0.1 shows .* another subject common name/)).toMatchObject({
      code: 'certificate',
      address: '127.0.0.1',
    });
  });

  it('with a certificate of another authority there is no connection', async () => {
    await expect(echo('CT1', tlsPort(house), stranger)).rejects.toThrow();
    expect(await refused(house, /does not verify against DICOM_TLS_CA/)).toMatchObject({
      code: 'certificate',
    });
  });

  it('without a certificate there is no connection', async () => {
    await expect(associate(tlsPort(house), 'CT1', { maxVersion: 'TLSv1.2' })).rejects.toThrow();
    expect(await refused(house, /showed no client certificate/)).toMatchObject({ code: 'certificate' });
  });

  it('on the plain port it is rejected, while others may come there', async () => {
    const plain = ['-aec', 'ISOCENTER', '127.0.0.1', String(house.dicomPort)];
    await expect(run(dcmtk!.echoscu!, ['-aet', 'CT1', ...plain], { env })).rejects.toThrow(/Not Recognized/);
    expect(await refused(house, /CT1 at 127.0.0.1 must come by TLS/)).toMatchObject({ code: 'certificate' });
    await run(dcmtk!.echoscu!, ['-aet', 'PLAIN', ...plain], { env });
  });

  it('plain DICOM to the TLS port is cut, and said to be plain', async () => {
    const raw = await connectRaw(tlsPort(house));
    raw.send(associateRequest({ calling: 'PLAIN' }));
    await raw.closed;
    expect(await refused(house, /what came is no TLS/)).toMatchObject({ code: 'protocol' });
  });

  it('TLS to the plain port is aborted', async () => {
    await expect(echo('CT1', house.dicomPort, ct1)).rejects.toThrow();
    expect(await refused(house, /PDU type 0x16/)).toMatchObject({ code: 'malformed' });
  });

  it('TLS 1.1 is refused, 1.2 and 1.3 are not', async () => {
    const identity = await readTlsFiles({
      port: 0,
      key: ct1.key,
      cert: ct1.cert,
      ca: undefined,
      client: 'none',
    });
    const { key, cert } = identity.material;
    await expect(
      associate(tlsPort(house), 'CT1', {
        ...{ key, cert, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' },
      }),
    ).rejects.toThrow();
    expect(await refused(house, /offers no TLS 1.2 or 1.3/)).toMatchObject({ code: 'protocol' });
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const options = { key, cert, minVersion: version, maxVersion: version };
      const { answer, socket } = await associate(tlsPort(house), 'CT1', options);
      expect([answer, socket.getProtocol()]).toEqual([2, version]);
      socket.destroy();
    }
  });

  it('a suite that RFC 9325 does not name is refused', async () => {
    const { material } = await readTlsFiles({
      port: 0,
      key: ct1.key,
      cert: ct1.cert,
      ca: undefined,
      client: 'none',
    });
    const { key, cert } = material;
    await expect(
      associate(tlsPort(house), 'CT1', {
        ...{ key, cert, maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0' },
      }),
    ).rejects.toThrow();
    expect(await refused(house, /none of the cipher suites/)).toMatchObject({ code: 'protocol' });
  });

  it('a handshake that does not come is given up', async () => {
    const raw = await connectRaw(tlsPort(house));
    await raw.closed;
    expect(await refused(house, /handshake failed: it took longer than DICOM_ARTIM_S/)).toBeTruthy();
  });
});

describe.skipIf(!openssl)('DICOM over TLS beside other rules (openssl)', () => {
  const identityOf = async ({ key, cert }: Identity) => {
    const { material } = await readTlsFiles({ port: 0, key, cert, ca: undefined, client: 'none' });
    return { key: material.key, cert: material.cert };
  };

  it('a pinned certificate needs no authority; the plain port may be closed', async () => {
    const house = await openHouse(
      settings({ DICOM_PORT: 'off', DICOM_TLS_CA: '', DICOM_TLS_CLIENT: 'accept' }),
    );
    try {
      expect(house.isocenter.dicomPort).toBeUndefined();
      await put(house, 'ct1', {
        aeTitle: 'CT1',
        tls: 'required',
        certificate: { fingerprint: stranger.fingerprint },
      });
      const pinned = await associate(tlsPort(house), 'CT1', await identityOf(stranger));
      expect(pinned.answer).toBe(2);
      pinned.socket.destroy();
      const other = await associate(tlsPort(house), 'CT1', await identityOf(ct1));
      expect(other.answer).toBe(3);
      const none = await associate(tlsPort(house), 'CT1', {});
      expect(none.answer).toBe(3);
      await put(house, 'ct1', { aeTitle: 'CT1', tls: 'required', certificate: { commonName: 'ct1' } });
      const named = await associate(tlsPort(house), 'CT1', await identityOf(stranger));
      expect(named.answer).toBe(3);
      expect(await refused(house, /no authority of DICOM_TLS_CA has signed/)).toBeTruthy();
    } finally {
      await house.close();
    }
  });

  it('connections that never shake hands are bounded, and an honest one beside them is served', async () => {
    const house = await openHouse(
      settings({ DICOM_MAX_WAITING: '20', DICOM_ARTIM_S: '600', RECEIVERS: '1' }),
    );
    try {
      const silent: RawPeer[] = [];
      for (let n = 0; n < 60; n++) silent.push(await connectRaw(tlsPort(house)));
      const honest = await associate(tlsPort(house), 'CT1', await identityOf(ct1));
      expect(honest.answer).toBe(2);
      await eventually(
        async () => (silent.filter(({ socket }) => !socket.destroyed).length <= 20 ? true : undefined),
        'the bound',
      );
      expect(honest.socket.destroyed).toBe(false);
      honest.socket.destroy();
      for (const { socket } of silent) socket.destroy();
    } finally {
      await house.close();
    }
  });

  it('faults of the files are all said at once, at the start', async () => {
    const config = {
      port: 0,
      key: ct1.key,
      cert: server.cert,
      ca: path.join(folder, 'none.pem'),
      client: 'require' as const,
    };
    await expect(readTlsFiles(config)).rejects.toThrow(
      /DICOM_TLS_CA: .*none\.pem cannot be read \(ENOENT\)\n.*DICOM_TLS_KEY is not the key/,
    );
    await expect(readTlsFiles({ ...config, key: server.cert, cert: server.key })).rejects.toThrow(
      /DICOM_TLS_KEY is no private key.*\n.*DICOM_TLS_CERT holds no certificate/,
    );
    await expect(openHouse(settings({ DICOM_TLS_KEY: ct1.key }))).rejects.toThrow(
      /not the key of the first certificate/,
    );
  });

  it('a certificate that has expired is warned of', async () => {
    const later = new Date(Date.now() + 3 * 86_400_000);
    const config = { port: 0, key: server.key, cert: server.cert, ca: ours.cert, client: 'require' as const };
    expect((await readTlsFiles(config)).warnings).toEqual([]);
    expect((await readTlsFiles(config, later)).warnings).toEqual([
      expect.stringMatching(/^DICOM_TLS_CERT: a certificate has expired/),
      expect.stringMatching(/^DICOM_TLS_CA: a certificate has expired/),
    ]);
  });

  it('a renewed certificate is taken up; one that does not fit its key is not', async () => {
    const [key, cert] = [path.join(folder, 'live.key.pem'), path.join(folder, 'live.cert.pem')];
    await Promise.all([copyFile(server.key, key), copyFile(server.cert, cert)]);
    const config = { port: 0, key, cert, ca: undefined, client: 'none' as const };
    const { material } = await readTlsFiles(config);
    const taken: string[] = [];
    const follower = followTlsFiles(
      config,
      material,
      createLog('silent', 'test'),
      (next) => taken.push(next.cert),
      20,
    );
    try {
      const renewed = await ours.issue('isocenter', { days: 1 });
      await copyFile(renewed.cert, cert);
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(taken).toEqual([]);
      await copyFile(renewed.key, key);
      await eventually(async () => (taken.length === 1 ? true : undefined), 'the renewed certificate');
    } finally {
      follower.stop();
    }
  });

  it('names only suites that OpenSSL knows', () => {
    const known = tls.getCiphers();
    for (const suite of CIPHER_SUITES) expect(known).toContain(suite.toLowerCase());
  });
});
