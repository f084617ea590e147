/** Storage Commitment on the wire: its data sets in both syntaxes, role selection byte by byte, and who does not serve it. */
import { createRequire } from 'node:module';
import net from 'node:net';
import { afterEach, describe, expect, it, test } from 'vitest';
import { STORAGE_COMMITMENT } from '../../src/dicom/sop-class.ts';
import { createInboundAssociation, type InboundOptions } from '../../src/dimse/inbound-association.ts';
import { openAssociation } from '../../src/dimse/outbound-association.ts';
import {
  commitmentReport,
  commitmentRequest,
  readCommitmentReport,
  readCommitmentRequest,
} from '../../src/dimse/storage-commitment.ts';
import {
  associateRequest,
  CT,
  command,
  connectRaw,
  EXPLICIT,
  IMPLICIT,
  item,
  items,
  pdata,
  pdv,
} from './raw-peer.ts';

const servers: net.Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function serve(options: Partial<InboundOptions>): Promise<number> {
  const server = net.createServer((socket) =>
    createInboundAssociation(socket, {
      admit: () => ({ accept: true }),
      negotiate: ({ transferSyntaxes }) => transferSyntaxes[0]!,
      store: { open: () => ({ status: 0x0122 }) },
      ...options,
    }),
  );
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as net.AddressInfo).port;
}

const instances = [
  { sopClassUid: CT, sopInstanceUid: '1.2.3' },
  { sopClassUid: CT, sopInstanceUid: '1.2.34' },
];
const report = {
  transactionUid: '2.25.1',
  committed: [instances[0]!],
  failed: [{ ...instances[1]!, reason: 0x0112 }],
};

describe.each([
  ['Implicit', IMPLICIT],
  ['Explicit', EXPLICIT],
])('in %s VR Little Endian', (_, transferSyntaxUid) => {
  const read = (operation: ReturnType<typeof commitmentRequest>) => ({
    ...operation,
    transferSyntaxUid,
    dataSet: operation.dataSet(transferSyntaxUid),
  });

  it('a request and a report are read as they were written', () => {
    const request = { transactionUid: '2.25.1', instances };
    expect(readCommitmentRequest(read(commitmentRequest(request)))).toEqual(request);
    expect(readCommitmentReport(read(commitmentReport(report)))).toEqual(report);
    expect(commitmentReport(report).typeId).toBe(2);
    expect(commitmentReport({ ...report, failed: [] }).typeId).toBe(1);
  });

  it('dcmjs reads the same', () => {
    // Its declarations do not say what it does.
    const { data } = createRequire(import.meta.url)('dcmjs') as {
      data: {
        DicomMessage: { _read(stream: unknown, syntax: string): Record<string, { Value: unknown[] }> };
        ReadBufferStream: new (b: ArrayBuffer, le: boolean) => unknown;
      };
    };
    const bytes = read(commitmentReport(report)).dataSet;
    const copy = new Uint8Array(bytes).buffer as ArrayBuffer;
    const found = data.DicomMessage._read(new data.ReadBufferStream(copy, true), transferSyntaxUid);
    expect(found['00081195']!.Value).toEqual(['2.25.1']);
    const [failed] = found['00081198']!.Value as Record<string, { Value: unknown[] }>[];
    expect(failed!['00081155']!.Value).toEqual(['1.2.34']);
    expect(failed!['00081197']!.Value).toEqual([0x0112]);
    const committed = found['00081199']!.Value as Record<string, { Value: unknown[] }>[];
    expect(committed.map((one) => one['00081155']!.Value)).toEqual([['1.2.3']]);
  });
});

describe('role selection (PS3.7 D.3.3.4)', () => {
  const roleItem = (uid: string, scu: number, scp: number): Buffer => {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(uid.length);
    return item(0x54, Buffer.concat([length, Buffer.from(uid), Buffer.from([scu, scp])]));
  };
  test.each([
    ['the SCP of Storage Commitment', STORAGE_COMMITMENT, 0, 1, [0, 1]],
    ['both of Storage Commitment', STORAGE_COMMITMENT, 1, 1, [1, 1]],
    ['the SCP of CT Image Storage', CT, 1, 1, [1, 0]],
  ])('a peer that comes as %s', async (_, abstractSyntax, scu, scp, expected) => {
    const port = await serve({});
    const peer = await connectRaw(port);
    const contexts = [{ id: 1, abstractSyntax, transferSyntaxes: [IMPLICIT] }];
    peer.send(associateRequest({ contexts, extra: roleItem(abstractSyntax, scu, scp) }));
    const accept = await peer.next();
    const user = items(accept!.body.subarray(68)).find(({ type }) => type === 0x50)!;
    const role = items(user.value).find(({ type }) => type === 0x54)!;
    expect([...role.value.subarray(-2)]).toEqual(expected);
    peer.socket.destroy();
  });
});

describe('an association', () => {
  const contexts = [{ abstractSyntax: STORAGE_COMMITMENT, transferSyntaxes: [EXPLICIT, IMPLICIT] }];
  const open = (port: number) =>
    openAssociation({ host: '127.0.0.1', port, callingAeTitle: 'A', calledAeTitle: 'B', contexts });

  it('that serves no operations answers 0x0211 and goes on', async () => {
    const association = await open(await serve({}));
    const request = commitmentRequest({ transactionUid: '1.2', instances });
    expect(await association.request(request)).toMatchObject({ status: 0x0211 });
    expect(await association.request(request)).toMatchObject({ status: 0x0211 });
    await association.release();
  });

  it('passes over a data set beyond the bound, and answers 0x0213', async () => {
    const port = await serve({ operate: async () => ({ status: 0 }) });
    const peer = await connectRaw(port);
    peer.send(
      associateRequest({
        contexts: [{ id: 1, abstractSyntax: STORAGE_COMMITMENT, transferSyntaxes: [IMPLICIT] }],
      }),
    );
    await peer.next();
    const action = command({
      3: STORAGE_COMMITMENT,
      256: 0x0130,
      272: 1,
      2048: 0,
      4097: '1.2.840.10008.1.20.1.1',
      4104: 1,
    });
    peer.send(pdata(pdv(1, 3, action)));
    for (let sent = 0; sent < 5 * 1024 * 1024; sent += 100_000)
      peer.send(pdata(pdv(1, 0, Buffer.alloc(100_000))));
    peer.send(pdata(pdv(1, 2, Buffer.alloc(2))));
    expect((await peer.response()).status).toBe(0x0213);
    peer.socket.destroy();
  });
});
