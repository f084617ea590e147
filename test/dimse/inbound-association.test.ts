import { createHash, randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Failure } from '../../src/failure.ts';
import { type Acceptor, type AcceptorOptions, startAcceptor } from './acceptor.ts';
import {
  abortPdu,
  associateRequest,
  CT,
  command,
  connectRaw,
  EXPLICIT,
  echoCommand,
  IMPLICIT,
  item,
  pdata,
  pdu,
  pdv,
  type RawContext,
  type RawPeer,
  releaseRequest,
  storeCommand,
  storeMessage,
  VERIFICATION,
} from './raw-peer.ts';

const running: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const part of running.splice(0)) await part.stop();
});

async function house(options?: AcceptorOptions): Promise<{ acceptor: Acceptor; peer: RawPeer }> {
  const acceptor = await startAcceptor(options);
  running.push(acceptor);
  return { acceptor, peer: await connectRaw(acceptor.port) };
}

const bothContexts: RawContext[] = [
  { id: 1, abstractSyntax: CT, transferSyntaxes: [EXPLICIT, IMPLICIT] },
  { id: 3, abstractSyntax: VERIFICATION, transferSyntaxes: [IMPLICIT] },
];

describe('association request', () => {
  it('is shown to admission whole, and answered context by context with our own limit', async () => {
    const { acceptor, peer } = await house();
    const { results, userItems } = await peer.associate({
      calling: 'CT_1',
      maxPduLength: 0,
      contexts: [
        {
          id: 1,
          abstractSyntax: CT,
          transferSyntaxes: ['1.2.840.10008.1.2.4.94', '1.2.840.10008.1.2.4.201', EXPLICIT],
        },
        { id: 3, abstractSyntax: '1.2.840.10008.5.1.4.1.2.2.1', transferSyntaxes: [IMPLICIT] },
        { id: 5, abstractSyntax: CT, transferSyntaxes: ['1.2.3.4.5'] },
        { id: 7, abstractSyntax: '1.3.12.2.1107.5.9.1', transferSyntaxes: [IMPLICIT] },
      ],
    });
    expect(acceptor.requests[0]).toMatchObject({
      callingAeTitle: 'CT_1',
      calledAeTitle: 'ISOCENTER',
      remoteAddress: '127.0.0.1',
      remotePort: peer.socket.localPort,
      implementationClassUid: '1.2.3.4',
      implementationVersionName: 'RAW_1',
      maxPduLength: 0,
    });
    expect(acceptor.requests[0]?.contexts).toHaveLength(4);
    expect(results.get(1)).toEqual({ result: 0, transferSyntax: '1.2.840.10008.1.2.4.201' });
    expect(results.get(3)?.result).toBe(3);
    expect(results.get(5)?.result).toBe(4);
    expect(results.get(7)).toEqual({ result: 0, transferSyntax: IMPLICIT });
    // A peer without a limit must not make us announce none.
    expect(userItems.get(0x51)?.readUInt32BE(0)).toBe(131_072);
  });

  it('with contexts out of order keeps each ID with its own syntaxes', async () => {
    const { peer } = await house();
    const { results } = await peer.associate({
      contexts: [
        { id: 9, abstractSyntax: CT, transferSyntaxes: [IMPLICIT] },
        { id: 3, abstractSyntax: CT, transferSyntaxes: [EXPLICIT] },
        { id: 5, abstractSyntax: VERIFICATION, transferSyntaxes: [IMPLICIT] },
      ],
    });
    expect([...results]).toEqual([
      [3, { result: 0, transferSyntax: EXPLICIT }],
      [5, { result: 0, transferSyntax: IMPLICIT }],
      [9, { result: 0, transferSyntax: IMPLICIT }],
    ]);
  });

  it('with 128 contexts of eight transfer syntaxes fits', async () => {
    const { peer } = await house();
    const contexts = Array.from({ length: 128 }, (_, index) => ({
      id: 2 * index + 1,
      abstractSyntax: CT,
      transferSyntaxes: Array.from({ length: 8 }, (_, n) => `1.2.840.10008.1.2.4.${50 + n}`),
    }));
    const { results } = await peer.associate({ contexts });
    expect(results.size).toBe(128);
  });

  it('gives no asynchronous operations and no SCP role, whatever is proposed', async () => {
    const { peer } = await house();
    const uid = Buffer.from(CT);
    const role = Buffer.concat([Buffer.from([0, uid.length]), uid, Buffer.from([1, 1])]);
    const extra = Buffer.concat([item(0x53, Buffer.from([0, 8, 0, 8])), item(0x54, role)]);
    const { userItems } = await peer.associate({ extra });
    expect(userItems.has(0x53)).toBe(false);
    expect(userItems.get(0x54)?.subarray(-2)).toEqual(Buffer.from([1, 0]));
  });

  const rejects = [
    {
      name: 'another called AE title',
      request: { called: 'SOMEONE' },
      answer: [0, 1, 1, 7],
      words: /SOMEONE/,
    },
    {
      name: 'another application context',
      request: { applicationContext: '1.2.3' },
      answer: [0, 1, 1, 2],
      words: /application context/,
    },
    {
      name: 'another protocol version',
      request: { protocolVersion: 2 },
      answer: [0, 1, 2, 2],
      words: /version 2/,
    },
    { name: 'no room for a PDV', request: { maxPduLength: 6 }, answer: [0, 1, 3, 2], words: /no room/ },
  ];
  it.each(rejects)('with $name is rejected in words', async ({ request, answer, words }) => {
    const { acceptor, peer } = await house();
    peer.send(associateRequest(request));
    expect(await peer.next()).toEqual({ type: 3, body: Buffer.from(answer) });
    await peer.closed;
    expect(await acceptor.over()).toMatchObject({ how: 'rejected', detail: expect.stringMatching(words) });
  });

  const broken: { name: string; bytes: Buffer; reason: number }[] = [
    { name: 'garbage', bytes: Buffer.from('GET / HTTP/1.1\r\n\r\n'), reason: 1 },
    {
      name: 'an association request of 300 KB',
      bytes: Buffer.concat([Buffer.from([1, 0, 0, 4, 0x93, 0xe0]), Buffer.alloc(300_000)]),
      reason: 6,
    },
    { name: 'an association request without its fixed fields', bytes: pdu(1, Buffer.alloc(40)), reason: 6 },
    {
      name: 'an item that runs past the end',
      bytes: pdu(1, Buffer.concat([associateRequest().subarray(6), Buffer.from([0x50, 0, 9, 9])])),
      reason: 6,
    },
    {
      name: 'an even context ID',
      bytes: associateRequest({ contexts: [{ ...bothContexts[0]!, id: 2 }] }),
      reason: 6,
    },
    {
      name: 'a context ID used twice',
      bytes: associateRequest({ contexts: [bothContexts[0]!, bothContexts[0]!] }),
      reason: 6,
    },
    {
      name: 'a context without a transfer syntax',
      bytes: associateRequest({ contexts: [{ ...bothContexts[0]!, transferSyntaxes: [] }] }),
      reason: 6,
    },
    { name: 'no context at all', bytes: associateRequest({ contexts: [] }), reason: 6 },
    {
      name: 'a malformed role selection',
      bytes: associateRequest({ extra: item(0x54, Buffer.from([0, 99, 1])) }),
      reason: 6,
    },
    { name: 'data before the association', bytes: storeMessage(1, Buffer.alloc(10)), reason: 2 },
    { name: 'a release before the association', bytes: releaseRequest, reason: 2 },
    { name: 'an A-ASSOCIATE-AC', bytes: pdu(2, Buffer.alloc(100)), reason: 2 },
  ];
  it.each(broken)('is answered with A-ABORT on $name', async ({ bytes, reason }) => {
    const { acceptor, peer } = await house();
    peer.send(bytes);
    expect(await peer.next()).toEqual({ type: 7, body: Buffer.from([0, 0, 2, reason]) });
    await peer.closed;
    expect((await acceptor.over()).how).toBe('aborted');
    expect(acceptor.closed).toHaveLength(1);
  });

  it('that never comes ends with ARTIM', async () => {
    const { acceptor, peer } = await house({ artimMs: 40 });
    peer.send(associateRequest().subarray(0, 30));
    expect((await peer.next())?.type).toBe(7);
    expect(await acceptor.over()).toMatchObject({
      how: 'aborted',
      detail: expect.stringContaining('A-ASSOCIATE-RQ'),
    });
    await acceptor.associations[0]!.drained();
  });
});

describe('C-STORE', () => {
  const data = randomBytes(100_000);

  it('brings the bytes as they are, one byte at a time', async () => {
    const { acceptor, peer } = await house();
    await peer.associate();
    const small = data.subarray(0, 700);
    for (const byte of storeMessage(7, small, 100)) {
      peer.socket.write(Buffer.from([byte]));
      await turn();
    }
    expect(await peer.response()).toMatchObject({ status: 0, messageId: 7, field: 0x8001 });
    expect(acceptor.kept[0]?.bytes.equals(small)).toBe(true);
    expect(acceptor.kept[0]?.request).toEqual({
      affectedSopClassUid: CT,
      affectedSopInstanceUid: '1.2.3.4.5',
      transferSyntaxUid: EXPLICIT,
      messageId: 7,
      presentationContextId: 1,
      priority: 0,
    });
  });

  it('brings the bytes from several PDVs in one PDU, command and data together, and from empty ones', async () => {
    const { acceptor, peer } = await house();
    await peer.associate();
    const command = storeMessage(1, Buffer.alloc(1)).subarray(12).subarray(0, -13);
    peer.send(
      pdata(
        pdv(1, 1, command.subarray(0, 20)),
        pdv(1, 3, command.subarray(20)),
        pdv(1, 0, data.subarray(0, 10)),
        pdv(1, 0, Buffer.alloc(0)),
        pdv(1, 0, data.subarray(10, 5000)),
      ),
      pdata(pdv(1, 2, Buffer.alloc(0))),
    );
    expect((await peer.response()).status).toBe(0);
    expect(acceptor.kept[0]?.bytes.equals(data.subarray(0, 5000))).toBe(true);
  });

  it('brings ten objects sent without waiting for the answers, answered in their order', async () => {
    const { acceptor, peer } = await house({ open: slowSink });
    await peer.associate();
    peer.send(
      ...Array.from({ length: 10 }, (_, index) => storeMessage(index + 1, data.subarray(0, 5000 + index))),
    );
    for (let messageId = 1; messageId <= 10; messageId++)
      expect((await peer.response()).messageId).toBe(messageId);
    expect(acceptor.associations[0]?.counters).toMatchObject({ objectsStored: 10, bytes: 50_045 });
  });

  it('answers a sink that finishes at once in the same turn, with one write', async () => {
    const order: string[] = [];
    const { acceptor, peer } = await house({
      open: () => ({
        write: () => undefined,
        finish: () => {
          queueMicrotask(() => order.push('microtask behind finish'));
          return { status: 0 };
        },
        abort: () => undefined,
      }),
    });
    await peer.associate();
    const [socket] = acceptor.sockets;
    const write = socket!.write.bind(socket);
    socket!.write = ((bytes: Buffer) => {
      order.push(`write of PDU type ${bytes[0]}`);
      return write(bytes);
    }) as typeof write;
    peer.send(storeMessage(1, data));
    expect(await peer.response()).toMatchObject({ status: 0, pdus: 1 });
    expect(order).toEqual(['write of PDU type 4', 'microtask behind finish']);
  });

  it('splits its answer for a peer with tiny PDUs', async () => {
    const { peer } = await house({ open: () => ({ status: 0xc000, errorComment: 'x'.repeat(100) }) });
    await peer.associate({ maxPduLength: 26 });
    peer.send(storeMessage(1, data.subarray(0, 50)));
    const response = await peer.response();
    expect(response).toMatchObject({ status: 0xc000, comment: `${'x'.repeat(61)}...` });
    expect(response.pdus).toBeGreaterThan(8);
  });

  it('passes the move originator on', async () => {
    const { acceptor, peer } = await house();
    await peer.associate();
    const elements = { 2: CT, 256: 1, 272: 5, 1792: 1, 2048: 0, 4096: '1.2', 4144: 'MOVER ', 4145: 9 };
    peer.send(pdata(pdv(1, 3, command(elements))), pdata(pdv(1, 2, Buffer.alloc(8))));
    await peer.response();
    expect(acceptor.kept[0]?.request).toMatchObject({
      moveOriginatorAeTitle: 'MOVER',
      moveOriginatorMessageId: 9,
      priority: 1,
    });
  });

  it('holds the socket while the sink is slow, so that memory stays bounded, and loses nothing', async () => {
    let let_go: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      let_go = resolve;
    });
    const hash = createHash('sha256');
    let received = 0;
    const { acceptor, peer } = await house({
      open: () => ({
        write: (chunk) => {
          received += chunk.length;
          hash.update(chunk);
          return held;
        },
        finish: () => ({ status: 0 }),
        abort: () => undefined,
      }),
    });
    await peer.associate();
    const block = randomBytes(1024 * 1024);
    const sent = createHash('sha256');
    const blocks = 48;
    peer.send(pdata(pdv(1, 3, storeCommand(1))));
    for (let n = 0; n < blocks; n++) {
      for (let at = 0; at < block.length; at += 65536) {
        const value = block.subarray(at, at + 65536);
        sent.update(value);
        peer.send(pdata(pdv(1, n === blocks - 1 && at + 65536 === block.length ? 2 : 0, value)));
      }
    }
    // The kernel's buffers fill, then nothing moves: what is written stands still while we hold.
    let before = -1;
    const unsent = () => peer.socket.writableLength;
    while (unsent() !== before) {
      before = unsent();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(received).toBeLessThanOrEqual(65536);
    expect(unsent()).toBeGreaterThan(block.length * (blocks - 20));
    expect(acceptor.closed).toEqual([]);
    let_go();
    expect((await peer.response()).status).toBe(0);
    expect(received).toBe(blocks * block.length);
    expect(hash.digest('hex')).toBe(sent.digest('hex'));
  });
});

describe('C-STORE refused', () => {
  const data = randomBytes(40_000);
  const two = [storeMessage(1, data), storeMessage(2, data)];

  it('by an outcome of open: the data is passed over, the next object is asked anew', async () => {
    let opened = 0;
    const { acceptor, peer } = await house({
      open: () => {
        const status = ++opened === 1 ? 0xa900 : 0xa700;
        return { status, errorComment: 'The journal is full', offendingElement: ['(0008,0018)'] };
      },
    });
    await peer.associate();
    peer.send(...two);
    const response = await peer.response();
    expect(response).toMatchObject({ status: 0xa900, comment: 'The journal is full', messageId: 1 });
    expect(response.elements[0x0901]).toEqual(Buffer.from([8, 0, 0x18, 0]));
    const second = await peer.response();
    expect(second).toMatchObject({ status: 0xa700, messageId: 2 });
    // An Offending Element belongs to 0xA9xx and 0xCxxx (PS3.4 Table B.2-1).
    expect(second.elements[0x0901]).toBeUndefined();
    expect(opened).toBe(2);
    expect(acceptor.associations[0]?.counters).toMatchObject({ objectsRefused: 2, objectsStored: 0 });
  });

  const failures = ['open', 'write', 'write later', 'finish', 'finish later'] as const;
  it.each(failures)(
    'by a Failure of %s, with the status that refuse gives, and the next object is stored',
    async (where) => {
      const ends: string[] = [];
      let objects = 0;
      const fail = () => new Failure('no-space', 'The journal is full');
      const { peer } = await house({
        store: {
          open: () => {
            const faulty = ++objects === 1;
            if (faulty && where === 'open') throw fail();
            return {
              write: () => {
                if (faulty && where === 'write') throw fail();
                return faulty && where === 'write later' ? Promise.reject(fail()) : undefined;
              },
              finish: () => {
                ends.push('finish');
                if (faulty && where === 'finish') throw fail();
                return faulty && where === 'finish later' ? Promise.reject(fail()) : { status: 0 };
              },
              abort: (reason) => ends.push(`abort: ${reason}`),
            };
          },
          refuse: (failure) => ({
            status: failure.kind === 'no-space' ? 0xa700 : 0x0110,
            errorComment: failure.message,
          }),
        },
      });
      await peer.associate();
      peer.send(...two);
      expect(await peer.response()).toMatchObject({
        status: 0xa700,
        comment: 'The journal is full',
        messageId: 1,
      });
      expect(await peer.response()).toMatchObject({ status: 0, messageId: 2 });
      const first =
        where === 'open' ? [] : where.startsWith('write') ? ['abort: The journal is full'] : ['finish'];
      expect(ends).toEqual([...first, 'finish']);
    },
  );

  it('on a SOP class that is not its context, without a SOP Instance UID, and without a data set', async () => {
    const { acceptor, peer } = await house();
    await peer.associate();
    const request = { 2: CT, 256: 1, 272: 1, 1792: 0, 2048: 0, 4096: '1.2.3' };
    const { 0x1000: _, ...noInstance } = request;
    peer.send(
      pdata(
        pdv(1, 3, command({ ...request, 2: '1.2.840.10008.5.1.4.1.1.4' })),
        pdv(1, 2, data.subarray(0, 9000)),
      ),
      pdata(pdv(1, 3, command(noInstance)), pdv(1, 2, data.subarray(0, 9000))),
      pdata(pdv(1, 3, command({ ...request, 2048: 0x0101 }))),
    );
    expect((await peer.response()).status).toBe(0x0122);
    expect((await peer.response()).status).toBe(0x0117);
    expect((await peer.response()).status).toBe(0xc000);
    expect(acceptor.kept).toEqual([]);
  });
});

describe('other commands', () => {
  it('C-ECHO is answered, again and again', async () => {
    const { peer } = await house();
    await peer.associate({ contexts: bothContexts });
    for (let messageId = 1; messageId <= 3; messageId++) {
      peer.send(pdata(pdv(3, 3, echoCommand(messageId))));
      const response = await peer.response();
      expect(response).toMatchObject({ status: 0, messageId, field: 0x8030 });
      expect(response.elements[0x0902]).toBeUndefined();
    }
  });

  it('an unknown operation gets 0x0211, behind its data set when it has one; C-CANCEL gets nothing', async () => {
    const { peer } = await house();
    await peer.associate({ contexts: bothContexts });
    peer.send(
      pdata(pdv(1, 3, command({ 256: 0x0fff, 288: 4, 2048: 0x0101 }))),
      pdata(pdv(1, 3, command({ 2: CT, 256: 0x0020, 272: 4, 2048: 1 })), pdv(1, 2, Buffer.alloc(50))),
      pdata(pdv(1, 3, command({ 3: CT, 256: 0x0777, 272: 5, 2048: 0x0101 }))),
    );
    expect(await peer.response()).toMatchObject({ status: 0x0211, messageId: 4, field: 0x8020 });
    expect(await peer.response()).toMatchObject({ status: 0x0211, messageId: 5, field: 0x8777 });
  });

  const store = storeCommand(1);
  const breaks: { name: string; bytes: Buffer; reason: number }[] = [
    { name: 'a command on a context that was refused', bytes: pdata(pdv(9, 3, store)), reason: 6 },
    { name: 'data without a command', bytes: pdata(pdv(1, 2, Buffer.alloc(4))), reason: 5 },
    { name: 'a command within a data set', bytes: pdata(pdv(1, 3, store), pdv(1, 3, store)), reason: 5 },
    {
      name: 'data on another context',
      bytes: pdata(pdv(1, 3, store), pdv(3, 2, Buffer.alloc(4))),
      reason: 6,
    },
    {
      name: 'a command spread over two contexts',
      bytes: pdata(pdv(1, 1, store.subarray(0, 9)), pdv(3, 3, store.subarray(9))),
      reason: 6,
    },
    { name: 'a command that is cut short', bytes: pdata(pdv(1, 3, store.subarray(0, 30))), reason: 6 },
    {
      name: 'a command of another group',
      bytes: pdata(pdv(1, 3, Buffer.from([8, 0, 0, 0, 0, 0, 0, 0]))),
      reason: 6,
    },
    {
      name: 'a request without a message ID',
      bytes: pdata(pdv(1, 3, command({ 256: 1, 2048: 0 }))),
      reason: 6,
    },
    { name: 'a command without a command field', bytes: pdata(pdv(1, 3, command({ 272: 1 }))), reason: 6 },
    { name: 'a response', bytes: pdata(pdv(1, 3, command({ 256: 0x8001, 288: 1, 2304: 0 }))), reason: 6 },
    {
      name: 'a command without an end',
      bytes: pdata(...Array.from({ length: 5 }, () => pdv(1, 1, Buffer.alloc(14_000)))),
      reason: 6,
    },
    { name: 'a second association request', bytes: associateRequest(), reason: 2 },
    {
      name: 'a release within an object',
      bytes: Buffer.concat([pdata(pdv(1, 3, store)), releaseRequest]),
      reason: 2,
    },
    {
      name: 'a release within a command',
      bytes: Buffer.concat([pdata(pdv(1, 1, store)), releaseRequest]),
      reason: 2,
    },
  ];
  it.each(breaks)('A-ABORT answers $name', async ({ bytes, reason }) => {
    const { acceptor, peer } = await house();
    const never = { id: 9, abstractSyntax: '1.2.840.10008.5.1.4.1.2.2.1', transferSyntaxes: [IMPLICIT] };
    await peer.associate({ contexts: [...bothContexts, never] });
    peer.send(bytes);
    expect(await peer.next()).toEqual({ type: 7, body: Buffer.from([0, 0, 2, reason]) });
    await peer.closed;
    await acceptor.associations[0]!.drained();
    expect(acceptor.closed).toMatchObject([{ how: 'aborted' }]);
    expect(command({ 256: 1 })).toHaveLength(22);
  });

  it('a peer that reads no answers is not read from for ever', async () => {
    const { acceptor, peer } = await house({ idleTimeoutMs: 200 });
    await peer.associate({ contexts: bothContexts });
    peer.socket.pause();
    const request = pdata(pdv(1, 3, command({ 256: 0x0777, 272: 1, 2048: 0x0101 })));
    const many = Buffer.concat(Array.from({ length: 1000 }, () => request));
    const pump = () => {
      if (!peer.socket.destroyed && peer.socket.write(many)) setImmediate(pump);
    };
    peer.socket.on('drain', pump);
    pump();
    expect((await acceptor.over()).how).toMatch(/aborted|lost/);
  });
});

describe('the end', () => {
  const data = randomBytes(50_000);
  const half = storeMessage(1, data).subarray(0, 30_000);

  it('release waits for beforeRelease, then A-RELEASE-RP', async () => {
    let indexed: () => void = () => undefined;
    const { acceptor, peer } = await house({
      beforeRelease: () =>
        new Promise((resolve) => {
          indexed = resolve;
        }),
    });
    await peer.associate();
    peer.send(storeMessage(1, data), releaseRequest);
    expect((await peer.response()).status).toBe(0);
    for (let n = 0; n < 20; n++) await turn();
    expect(peer.unread).toBe(0);
    expect(acceptor.closed).toEqual([]);
    indexed();
    expect(await peer.next()).toEqual({ type: 6, body: Buffer.alloc(4) });
    peer.socket.end();
    expect((await acceptor.over()).how).toBe('released');
    await acceptor.associations[0]!.drained();
    expect(acceptor.closed).toHaveLength(1);
  });

  it('release that cannot be prepared is an abort', async () => {
    const { acceptor, peer } = await house({ beforeRelease: () => Promise.reject(new Error('index away')) });
    await peer.associate();
    peer.send(releaseRequest);
    expect((await peer.next())?.type).toBe(7);
    expect(await acceptor.over()).toMatchObject({ how: 'aborted', detail: 'index away' });
  });

  it('A-ABORT in the middle of an object aborts the sink', async () => {
    const { acceptor, peer } = await house();
    await peer.associate();
    // The abort comes on a PDU boundary: two whole PDUs of data before it.
    const message = storeMessage(1, data);
    const boundary = 6 + message.readUInt32BE(2);
    peer.send(message.subarray(0, boundary + 16384 + 6), abortPdu);
    expect(await acceptor.over()).toMatchObject({
      how: 'aborted',
      detail: expect.stringContaining('service user'),
    });
    expect(acceptor.aborted).toHaveLength(1);
    expect(acceptor.kept).toEqual([]);
    expect(acceptor.associations[0]?.counters.objectsAborted).toBe(1);
  });

  it('a lost connection in the middle of an object aborts the sink', async () => {
    const { acceptor, peer } = await house();
    await peer.associate();
    peer.send(half);
    await turn();
    peer.socket.destroy();
    expect((await acceptor.over()).how).toBe('lost');
    expect(acceptor.aborted).toHaveLength(1);
  });

  it('a connection lost while the sink finishes does not abort it', async () => {
    const ends: string[] = [];
    let finish: (outcome: { status: number }) => void = () => undefined;
    const { acceptor, peer } = await house({
      open: () => ({
        write: () => undefined,
        finish: () => {
          ends.push('finish');
          acceptor.associations[0]!.abort('shutdown');
          return new Promise((resolve) => {
            finish = resolve;
          });
        },
        abort: () => ends.push('abort'),
      }),
    });
    await peer.associate();
    peer.send(storeMessage(1, data));
    expect((await peer.next())?.type).toBe(7);
    await peer.closed;
    let drained = false;
    const done = acceptor.associations[0]!.drained().then(() => {
      drained = true;
    });
    for (let n = 0; n < 10; n++) await turn();
    expect(drained).toBe(false);
    finish({ status: 0 });
    await done;
    expect(ends).toEqual(['finish']);
  });

  it('an abort while the last write is under way aborts the sink once, and never finishes it', async () => {
    const ends: string[] = [];
    let written: () => void = () => undefined;
    const { acceptor, peer } = await house({
      open: () => ({
        write: () => {
          acceptor.associations[0]!.abort('shutdown');
          return new Promise((resolve) => {
            written = resolve;
          });
        },
        finish: () => {
          ends.push('finish');
          return { status: 0 };
        },
        abort: (reason) => ends.push(`abort: ${reason}`),
      }),
    });
    await peer.associate();
    peer.send(storeMessage(1, data.subarray(0, 100)));
    expect((await peer.next())?.type).toBe(7);
    // Held or not, what still comes is read and passed over, so that the peer's close is seen.
    expect([...acceptor.sockets][0]?.isPaused()).toBe(false);
    written();
    await acceptor.associations[0]!.drained();
    await turn();
    expect(ends).toEqual(['abort: shutdown']);
    expect(acceptor.associations[0]?.counters).toMatchObject({ objectsAborted: 1, objectsRefused: 0 });
  });

  it('silence ends it, our own slowness does not', async () => {
    const { acceptor, peer } = await house({
      idleTimeoutMs: 60,
      open: () => ({
        write: () => undefined,
        finish: () => new Promise((resolve) => setTimeout(() => resolve({ status: 0 }), 250)),
        abort: () => undefined,
      }),
    });
    await peer.associate();
    peer.send(storeMessage(1, data));
    expect((await peer.response()).status).toBe(0);
    expect((await peer.next())?.type).toBe(7);
    expect((await acceptor.over()).detail).toMatch(/silent/);
  });

  it('abort() of ours reaches the peer as service user', async () => {
    const { acceptor, peer } = await house();
    await peer.associate();
    peer.send(half);
    await turn();
    acceptor.associations[0]!.abort('draining');
    expect(await peer.next()).toEqual({ type: 7, body: Buffer.from([0, 0, 0, 0]) });
    await acceptor.associations[0]!.drained();
    expect(acceptor.closed).toMatchObject([{ how: 'aborted', detail: 'draining' }]);
  });
});

function slowSink() {
  return {
    write: () => turn(),
    finish: async () => {
      await turn();
      return { status: 0 };
    },
    abort: () => undefined,
  };
}
