/** What an A-ASSOCIATE-RQ may hold at most, and what the engine never sees (PS3.8 9.3.2). */
import { describe, expect, it } from 'vitest';
import { IMPLEMENTATION_VERSION_NAME, UID_ROOT_IMPLEMENTATION } from '../../src/dicom/uid.ts';
import { parseAssociationRequest } from '../../src/dimse/association-request.ts';
import { openAssociation } from '../../src/dimse/outbound-association.ts';
import { associateRequest, EXPLICIT, startRawServer, VERIFICATION } from './raw-peer.ts';

describe('an association request', () => {
  it('with 128 contexts of fifty transfer syntaxes each is read', () => {
    const contexts = Array.from({ length: 128 }, (_, n) => ({
      id: 2 * n + 1,
      abstractSyntax: `1.2.3.${n}`,
      transferSyntaxes: Array.from({ length: 50 }, (_, m) => `1.2.4.${m}`),
    }));
    const parsed = parseAssociationRequest(associateRequest({ contexts }));
    expect(parsed.reject).toBeUndefined();
    expect(parsed.request.contexts).toHaveLength(128);
    expect(parsed.request.contexts[127]?.transferSyntaxes).toHaveLength(50);
  });

  it('with more items than the limit is rejected: permanent, local limit exceeded', () => {
    const contexts = Array.from({ length: 3 }, (_, n) => ({
      id: 2 * n + 1,
      abstractSyntax: '1.2.3',
      transferSyntaxes: Array<string>(6000).fill('1.2'),
    }));
    const { reject } = parseAssociationRequest(associateRequest({ contexts }));
    expect(reject && [reject.result, reject.source, reject.reason]).toEqual([1, 3, 2]);
    expect(reject?.sentence).toContain('16384 items');
  });

  it('with long runs of spaces in its names is read at once: each took seconds, before anybody is let in', () => {
    const name = `1.2${' '.repeat(60_000)}3`;
    const ids = Array.from({ length: 100 }, (_, n) => 2 * n + 1);
    const contexts = ids.map((id) => ({ id, abstractSyntax: '1.2', transferSyntaxes: [name] }));
    const { request } = parseAssociationRequest(associateRequest({ contexts }));
    expect(request.contexts.map(({ transferSyntaxes }) => transferSyntaxes[0]!.length)).toEqual(
      ids.map(() => name.length),
    );
  });

  it('of ours says whose implementation it is (PS3.7 D.3.3.2)', async () => {
    const asked = Promise.withResolvers<Buffer>();
    const server = await startRawServer(async (peer) => {
      const pdu = await peer.next();
      asked.resolve(Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0]), pdu?.body ?? Buffer.alloc(0)]));
      peer.socket.destroy();
    });
    try {
      const opening = openAssociation({
        host: '127.0.0.1',
        port: server.port,
        callingAeTitle: 'ISOCENTER',
        calledAeTitle: 'RAW',
        contexts: [{ abstractSyntax: VERIFICATION, transferSyntaxes: [EXPLICIT] }],
      });
      await expect(opening).rejects.toThrow();
      expect(parseAssociationRequest(await asked.promise).request).toMatchObject({
        callingAeTitle: 'ISOCENTER',
        implementationClassUid: UID_ROOT_IMPLEMENTATION,
        implementationVersionName: IMPLEMENTATION_VERSION_NAME,
      });
    } finally {
      await server.stop();
    }
  });
});
