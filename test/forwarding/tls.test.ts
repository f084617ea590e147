/** Destinations over TLS: DCMTK's storescp with certificates of this run, and every way in which trust can fail, in words. */
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { givenStableStudy } from '../routing/given-study.ts';
import { type Authority, createAuthority, type Identity } from '../support/certificates.ts';
import { type StoreScp, type StoreScpOptions, startStoreScp } from '../support/pacs.ts';
import { peer } from '../support/peers.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { type DoorOverHttp, openDoorOverHttp } from './door-over-http.ts';
import { type ScriptedPacs, startScriptedPacs } from './scripted-pacs.ts';
import { startStowReceiver } from './stow-receiver.ts';

interface Pem {
  key: string;
  cert: string;
}

const skip = !peer('dcmtk') || !peer('openssl');
let door: DoorOverHttp;
let files: TempFolder;
let authority: Authority;
let ca: string;
let server: Identity;
let ours: Pem;

async function pemOf({ key, cert }: Identity): Promise<Pem> {
  return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
}

beforeAll(async () => {
  if (skip) return;
  files = await tempFolder('certificates');
  authority = await createAuthority(files.path, 'hospital');
  ca = await readFile(authority.cert, 'utf8');
  server = await authority.issue('pacs.example', { altNames: 'DNS:pacs.example,IP:127.0.0.1' });
  ours = await pemOf(await authority.issue('isocenter.example'));
});
afterAll(() => files?.remove());
beforeEach(async () => {
  door = await openDoorOverHttp();
});
afterEach(() => door.close());

const given = (more: Parameters<typeof givenStableStudy>[1] = {}) =>
  givenStableStudy(door.database, { store: door.store, ...more });

/** @param client '-ic': certificates are not asked for; '-rc': one that our authority signed is required */
async function withStoreScp(
  identity: Identity,
  client: '-ic' | '-rc',
  work: (scp: StoreScp) => Promise<void>,
  options: StoreScpOptions = {},
): Promise<void> {
  const scp = await startStoreScp({
    ...options,
    extraArgs: ['+tls', identity.key, identity.cert, '+cf', authority.cert, client],
  });
  try {
    await work(scp);
  } finally {
    await scp.stop();
  }
}

const to = ({ port }: { port: number }, tls: object) => ({
  ...{ kind: 'dimse', host: '127.0.0.1', port, aeTitle: 'PACS', tls },
});
async function testOf(settings: object): Promise<{ ok: boolean; message: string }> {
  const put = await door.call('PUT', '/destinations/tried', settings);
  expect(put.json, JSON.stringify(put.json)).toMatchObject({ name: 'tried' });
  return (await door.call('POST', '/destinations/tried/test')).json as unknown as {
    ok: boolean;
    message: string;
  };
}

describe.skipIf(skip)('DICOM over TLS, to DCMTK storescp (needs dcmtk and openssl)', () => {
  test('with a certificate of ours: everything arrives, and the key is never shown', async () => {
    await withStoreScp(server, '-rc', async (scp) => {
      const put = await door.call('PUT', '/destinations/pacs', to(scp, { ca, ...ours }));
      expect(JSON.stringify(put.json)).not.toContain('PRIVATE KEY');
      expect(put.json).toMatchObject({ tls: { ca, cert: ours.cert, key: '(kept)' } });
      const { name, changedAt, changedBy, health, ...shown } = put.json;
      expect([name, changedBy, (health as { state: string }).state]).toEqual(['pacs', 'anonymous', 'up']);
      const again = await door.call('PUT', '/destinations/pacs', shown);
      expect(again, 'what is shown can be put').toMatchObject({ status: 200, json: { changedAt } });
      expect((await door.call('POST', '/destinations/pacs/test')).json).toMatchObject({
        ok: true,
        message: 'C-ECHO was answered with Success, over TLS',
      });
      await door.rule('all', { send: ['pacs'] });
      await given({ instances: 5, pixelBytes: 200_000 });
      await door.settled('delivered');
      expect(await scp.received()).toHaveLength(5);
    });
  });

  test('without one, where the peer asks for none', async () => {
    await withStoreScp(server, '-ic', async (scp) => {
      expect(await testOf(to(scp, { ca }))).toMatchObject({ ok: true });
      expect(await testOf(to(scp, { ca, serverName: 'pacs.example' }))).toMatchObject({ ok: true });
    });
  });

  test('is never spoken with who cannot be trusted, and says why', async () => {
    await withStoreScp(server, '-ic', async (scp) => {
      expect((await testOf(to(scp, {}))).message).toMatch(/signed by an authority that we do not trust/);
      expect((await testOf(to(scp, { ca, serverName: 'other.example' }))).message).toMatch(
        /TLS certificate is for another name: DNS:pacs\.example, IP Address:127\.0\.0\.1/,
      );
      const plain = await testOf({ ...to(scp, {}), tls: undefined });
      expect(plain, 'a plain association to a TLS port').toMatchObject({ ok: false });
    });
    const expired = await authority.issueExpired('old.example', 'IP:127.0.0.1');
    await withStoreScp(expired, '-ic', async (scp) => {
      expect((await testOf(to(scp, { ca }))).message).toMatch(/TLS certificate has expired/);
    });
    await withStoreScp(server, '-rc', async (scp) => {
      expect((await testOf(to(scp, { ca }))).message).toMatch(/wants a TLS certificate of ours|handshake/);
    });
  });

  test('a fault of trust is waited for, nothing leaves, and all goes once it is mended', async () => {
    await withStoreScp(server, '-ic', async (scp) => {
      await door.destination('pacs', to(scp, {}));
      await door.rule('all', { send: ['pacs'] });
      await given({ instances: 2 });
      expect((await door.failing()).lastError).toMatch(/do not trust/);
      expect((await door.database.query('select 1 from disclosure')).rowCount).toBe(0);
      await door.destination('pacs', to(scp, { ca }));
      await door.settled('delivered');
      expect(await scp.received()).toHaveLength(2);
    });
  });
});

describe('a port that speaks no TLS', () => {
  let pacs: ScriptedPacs;
  beforeAll(async () => {
    pacs = await startScriptedPacs();
  });
  afterAll(() => pacs.stop());

  test('says so', async () => {
    expect((await testOf(to(pacs, {}))).message).toMatch(/does (it|not) speak TLS on that port/);
    const silent = net.createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', () => resolve()));
    const { port } = silent.address() as net.AddressInfo;
    expect((await testOf(to({ port }, {}))).message).toMatch(/no connection within 2000 ms/);
    silent.close();
  });
});

describe.skipIf(skip)('STOW over TLS', () => {
  test('goes by the same settings', async () => {
    const receiver = await startStowReceiver(undefined, undefined, 0, {
      ...(await pemOf(server)),
      ...{ ca, requestCert: true, rejectUnauthorized: true },
    });
    try {
      const stow = { kind: 'stow', url: receiver.url };
      expect((await testOf(stow)).message).toMatch(/do not trust/);
      expect((await testOf({ ...stow, tls: { ca } })).message).toMatch(/wants a TLS certificate of ours|cut/);
      expect(await testOf({ ...stow, tls: { ca, ...ours } })).toMatchObject({ ok: true });
      await door.destination('cloud', { ...stow, tls: { ca, ...ours } });
      await door.rule('all', { send: ['cloud'] });
      await given({ instances: 3 });
      await door.settled('delivered');
      expect(receiver.kept.size).toBe(3);
    } finally {
      await receiver.stop();
    }
  });
});

describe.skipIf(skip)('settings of TLS are refused in words', () => {
  test.each<[string, () => object, RegExp]>([
    ['a CA that is none', () => ({ ca: 'hello' }), /tls\.ca holds no certificate in PEM/],
    ['a key alone', () => ({ key: ours.key }), /cert and key come together/],
    ['a certificate alone', () => ({ cert: ours.cert }), /cert and key come together/],
    ['a key of another', () => ({ cert: ca, key: ours.key }), /not the key of the first certificate/],
    [
      'a key that is none',
      () => ({ cert: ours.cert, key: 's3cret' }),
      /^(?!.*s3cret).*no private key in PEM/,
    ],
    [
      'nothing to be kept',
      () => ({ cert: ours.cert, key: '(kept)' }),
      /tls\.key: there is no value to be kept/,
    ],
    ['no verification', () => ({ verify: false }), /verify is not known here/],
  ])('%s', async (_, tls, expected) => {
    const { status, json } = await door.call('PUT', '/destinations/bad', to({ port: 1 }, tls()));
    expect(status).toBe(400);
    expect(json.message).toMatch(expected);
  });

  test('TLS for http', async () => {
    const stow = { kind: 'stow', url: 'http://127.0.0.1:1/', tls: {} };
    expect((await door.call('PUT', '/destinations/bad', stow)).json.message).toMatch(/TLS needs https/);
  });
});
