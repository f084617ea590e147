/** What can change while a listener is open: the certificate it shows. A name with special characters is read as it is. */
import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { expect, it } from 'vitest';
import { createLog } from '../../src/log.ts';
import type { Caller } from '../../src/scp/admission.ts';
import { createAssociationSlots, createSlotMemory } from '../../src/scp/association-slots.ts';
import { listen } from '../../src/scp/listener.ts';
import { clientCertificate, serverOptions } from '../../src/scp/tls.ts';
import { readTlsFiles } from '../../src/scp/tls-files.ts';
import { createAuthority, type Identity } from '../support/certificates.ts';
import { peer } from '../support/peers.ts';

const openssl = peer('openssl');

it.skipIf(!openssl)(
  'a renewed certificate is shown to the next connection, and the open one goes on (openssl)',
  async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'isocenter-listener-'));
    const authority = await createAuthority(folder, 'ours');
    const [first, second] = await Promise.all([authority.issue('first'), authority.issue('second')]);
    const materialOf = async ({ key, cert }: Identity) =>
      (await readTlsFiles({ port: 0, key, cert, ca: undefined, client: 'none' })).material;
    const listener = await listen({
      host: '127.0.0.1',
      port: undefined,
      tls: { port: 0, material: await materialOf(first) },
      shared: false,
      maxWaiting: 10,
      policy: () => {
        throw new Error('nobody asks for an association here');
      },
      limits: { maxPduLength: 16_384, maxRequestLength: 16_384, artimMs: 30_000, idleMs: 30_000 },
      intake: {} as never,
      slots: createAssociationSlots(createSlotMemory(1), 0),
      operate: async () => ({ status: 0x0110 }),
      onRefusal: () => undefined,
      onAssociationEnd: () => undefined,
      log: createLog('silent', 'test'),
    });
    const connect = async (more: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> => {
      const socket = tls.connect({
        host: '127.0.0.1',
        port: listener.tlsPort!,
        rejectUnauthorized: false,
        ...more,
      });
      await new Promise<void>((resolve, reject) => {
        socket.once('secureConnect', resolve);
        socket.once('error', reject);
      });
      return socket;
    };
    const shownBy = (socket: tls.TLSSocket): string | undefined => socket.getPeerX509Certificate()?.subject;
    try {
      expect(listener.port).toBeUndefined();
      const before = await connect();
      expect(shownBy(before)).toContain('CN=first');
      listener.setTls(await materialOf(second));
      const after = await connect();
      expect(shownBy(after)).toContain('CN=second');
      expect(before.destroyed).toBe(false);
      before.destroy();
      after.destroy();
      // A session that is taken up again would not show its client certificate anew.
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const kept = await connect({ maxVersion });
        const session = kept.getSession();
        const again = await connect({ maxVersion, session });
        expect([kept.getProtocol(), again.isSessionReused()]).toEqual([maxVersion, false]);
        kept.destroy();
        again.destroy();
      }
    } finally {
      await listener.drain(0);
      await rm(folder, { recursive: true, force: true });
    }
  },
);

it.skipIf(!openssl)('a client certificate is read with its names, whatever they hold (openssl)', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'isocenter-names-'));
  const authority = await createAuthority(folder, 'ours');
  const altNames = 'DNS:ct1.example,IP:10.0.0.5,URI:urn:ct1';
  const [server, client] = await Promise.all([
    authority.issue('isocenter'),
    authority.issue('CT 1, room 2', { altNames }),
  ]);
  const material = async ({ key, cert }: Identity, ca?: string) =>
    (await readTlsFiles({ port: 0, key, cert, ca, client: 'accept' })).material;
  const seen = Promise.withResolvers<NonNullable<Caller['tls']>['certificate']>();
  const listening = tls.createServer(
    serverOptions(await material(server, authority.cert), 5000),
    (socket) => {
      seen.resolve(clientCertificate(socket));
      socket.destroy();
    },
  );
  try {
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    const { key, cert } = await material(client);
    const { port } = listening.address() as { port: number };
    const socket = tls.connect({ host: '127.0.0.1', port, key, cert, rejectUnauthorized: false });
    socket.on('error', () => socket.destroy());
    expect(await seen.promise).toEqual({
      verified: true,
      commonName: 'CT 1, room 2',
      subjectAltNames: ['ct1.example', '10.0.0.5', 'urn:ct1'],
      fingerprint: new X509Certificate(cert).fingerprint256.replaceAll(':', ''),
    });
  } finally {
    listening.close();
    await rm(folder, { recursive: true, force: true });
  }
});
