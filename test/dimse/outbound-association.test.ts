import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Association } from '../../src/dimse/engine.ts';
import {
  type OutboundAssociation,
  type OutboundTimeouts,
  openAssociation,
} from '../../src/dimse/outbound-association.ts';
import { Requestor } from '../../src/dimse/requestor.ts';
import { asFailure, type Failure } from '../../src/failure.ts';
import { freePort } from '../support/free-port.ts';
import { hasSlowNetwork, startSlowNetwork } from '../support/slow-network.ts';
import { startAcceptor } from './acceptor.ts';
import {
  abortPdu,
  associateAccept,
  CT,
  command,
  EXPLICIT,
  IMPLICIT,
  pdata,
  pdu,
  pdv,
  type RawPeer,
  readCommand,
  releaseResponse,
  startRawServer,
  VERIFICATION,
} from './raw-peer.ts';

const running: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const part of running.splice(0)) await part.stop();
});

const contexts = [
  { abstractSyntax: CT, transferSyntaxes: [EXPLICIT] },
  { abstractSyntax: VERIFICATION, transferSyntaxes: [IMPLICIT] },
  { abstractSyntax: CT, transferSyntaxes: ['1.2.840.10008.1.2.4.50', IMPLICIT] },
];
const allAccepted = [
  { id: 1, result: 0, transferSyntax: EXPLICIT },
  { id: 3, result: 0, transferSyntax: IMPLICIT },
  { id: 5, result: 0, transferSyntax: IMPLICIT },
];
const object = { sopClassUid: CT, sopInstanceUid: '1.2.3.4', transferSyntaxUid: EXPLICIT };

async function* chunks(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    await turn();
    yield bytes.subarray(at, at + size);
  }
}

/** An association with a server that accepts all contexts and then plays the script. */
async function to(
  script: (peer: RawPeer) => Promise<void>,
  {
    timeouts = {},
    maxPduLength = 16384,
    answer = allAccepted,
  }: { timeouts?: OutboundTimeouts; maxPduLength?: number; answer?: typeof allAccepted } = {},
): Promise<OutboundAssociation> {
  const server = await startRawServer(async (peer) => {
    if ((await peer.next())?.type !== 1) return;
    peer.send(associateAccept(answer, maxPduLength));
    await script(peer);
  });
  running.push(server);
  return openAssociation({ ...address(server.port), contexts, timeouts });
}

function address(port: number) {
  return { host: '127.0.0.1', port, callingAeTitle: 'ISOCENTER', calledAeTitle: 'PACS' };
}

async function failureOf(promise: Promise<unknown>): Promise<Failure> {
  try {
    await promise;
  } catch (error) {
    return asFailure(error);
  }
  throw new Error('nothing failed');
}

interface Received {
  command: Record<number, Buffer>;
  data: Buffer;
  pduLengths: number[];
  contextIds: Set<number>;
}

/** Reads a whole C-STORE; undefined when the association ends before. */
async function readStore(peer: RawPeer): Promise<Received | undefined> {
  const received: Received = { command: {}, data: Buffer.alloc(0), pduLengths: [], contextIds: new Set() };
  const parts: Buffer[] = [];
  const commandParts: Buffer[] = [];
  for (;;) {
    const read = await peer.next();
    if (read?.type !== 4) return undefined;
    received.pduLengths.push(read.body.length);
    received.contextIds.add(read.body[4]!);
    expect(read.body.readUInt32BE(0)).toBe(read.body.length - 4);
    const control = read.body[5]!;
    if ((control & 1) !== 0) commandParts.push(read.body.subarray(6));
    else parts.push(read.body.subarray(6));
    if (control === 2) break;
  }
  received.command = readCommand(Buffer.concat(commandParts));
  received.data = Buffer.concat(parts);
  return received;
}

function storeResponse(
  messageId: number,
  status: number,
  more: Record<number, number | string> = {},
): Buffer {
  return pdata(
    pdv(1, 3, command({ 2: CT, 256: 0x8001, 288: messageId, 2048: 0x0101, 2304: status, ...more })),
  );
}

describe('openAssociation', () => {
  it.each([
    [
      [0, 1, 1, 7],
      'peer-refused',
      'PACS at 127.0.0.1:PORT: the association was rejected permanently by the service user: called AE title not recognized',
    ],
    [[0, 1, 1, 3], 'peer-refused', 'calling AE title not recognized (we called as ISOCENTER)'],
    [
      [0, 2, 3, 1],
      'peer-unreachable',
      'rejected for now by the service provider (presentation): temporary congestion',
    ],
    [[0, 1, 2, 9], 'peer-refused', 'service provider (ACSE): reason 9'],
  ])('says why it was rejected with %j', async (body, kind, words) => {
    const server = await startRawServer(async (peer) => {
      await peer.next();
      peer.send(pdu(3, Buffer.from(body)));
    });
    running.push(server);
    const failure = await failureOf(openAssociation({ ...address(server.port), contexts }));
    expect(failure.kind).toBe(kind);
    expect(failure.message.replace(String(server.port), 'PORT')).toContain(words);
  });

  it.each([
    ['nobody listens', undefined, /ECONNREFUSED/],
    ['the peer never answers', async () => undefined, /no answer to the A-ASSOCIATE-RQ within 80 ms/],
    [
      'the peer closes',
      async (peer: RawPeer) => void peer.socket.end(),
      /closed .*, in answer to the association request: does it want TLS there, or not know our address\?$/,
    ],
    [
      'the peer cuts the connection, as one that waits for a TLS handshake',
      async (peer: RawPeer) => void peer.socket.resetAndDestroy(),
      /cut \(ECONNRESET\), in answer to the association request: does it want TLS there/,
    ],
    [
      'the peer aborts',
      async (peer: RawPeer) => peer.send(pdu(7, Buffer.from([0, 0, 2, 1]))),
      /service provider: unrecognized PDU/,
    ],
    [
      'the peer speaks HTTP',
      async (peer: RawPeer) => peer.send(Buffer.from('HTTP/1.1 400')),
      /does not answer in DICOM: PDU type 0x48/,
    ],
    [
      'the peer answers a context that was not asked',
      async (peer: RawPeer) => peer.send(associateAccept([{ id: 99, result: 0, transferSyntax: EXPLICIT }])),
      /Invalid presentation context ID: 99/,
    ],
    [
      'the peer leaves no room for data',
      async (peer: RawPeer) => peer.send(associateAccept(allAccepted, 6)),
      /no room for a PDV/,
    ],
  ])("fails with 'peer-unreachable' when %s", async (_name, script, words) => {
    let port = await freePort();
    if (script) {
      const server = await startRawServer(async (peer) => {
        await peer.next();
        await script(peer);
      });
      running.push(server);
      port = server.port;
    }
    const failure = await failureOf(
      openAssociation({ ...address(port), contexts, timeouts: { associateMs: 80 } }),
    );
    expect(failure.kind).toBe('peer-unreachable');
    expect(failure.message).toMatch(words);
    expect(failure.message).toContain(`PACS at 127.0.0.1:${port}`);
  });

  it('refuses what it cannot ask', async () => {
    const many = Array.from({ length: 129 }, () => contexts[0]!);
    expect((await failureOf(openAssociation({ ...address(1), contexts: many }))).kind).toBe('invalid');
    expect((await failureOf(openAssociation({ ...address(1), contexts: [] }))).kind).toBe('invalid');
    const long = { ...address(1), calledAeTitle: 'A_TITLE_OF_SEVENTEEN' };
    expect((await failureOf(openAssociation({ ...long, contexts }))).kind).toBe('invalid');
  });

  it('refuses a context without a UID before it connects, as of a file whose File Meta names no SOP class', async () => {
    const missing = undefined as unknown as string;
    for (const context of [
      { abstractSyntax: missing, transferSyntaxes: [EXPLICIT] },
      { abstractSyntax: CT, transferSyntaxes: [missing] },
    ]) {
      const failure = await failureOf(openAssociation({ ...address(await freePort()), contexts: [context] }));
      expect(failure).toMatchObject({
        kind: 'invalid',
        message: expect.stringMatching(/UID .* is missing/) as unknown,
      });
    }
  });

  it('that the engine cannot put in words closes its connection, and nothing is left to reject', async () => {
    const ended = Promise.withResolvers<void>();
    const server = await startRawServer(async (peer) => {
      expect(await peer.next()).toBeUndefined();
      // What a peer says that loses patience; vitest fails on a rejection nobody handles.
      peer.send(abortPdu);
      ended.resolve();
    });
    running.push(server);
    const socket = connect(server.port, '127.0.0.1');
    await once(socket, 'connect');
    const timeouts = { connectMs: 1000, associateMs: 20_000, responseMs: 1000, releaseMs: 1000 };
    const requestor = new Requestor(socket, { peer: 'PACS', maxPduLength: 16384, contexts: [], timeouts });
    const association = new Association('A', 'B');
    association.addPresentationContext(undefined as unknown as string);
    await expect(requestor.associate(association)).rejects.toThrow(TypeError);
    await ended.promise;
    await once(socket, 'close');
    expect(requestor.open).toBe(false);
  });

  it('knows exactly what was accepted, and the words where it was not', async () => {
    const answer = [
      { id: 1, result: 4, transferSyntax: IMPLICIT },
      { id: 3, result: 3, transferSyntax: IMPLICIT },
      { id: 5, result: 0, transferSyntax: IMPLICIT },
    ];
    const association = await to(async () => undefined, { answer });
    expect(association.accepted(CT, IMPLICIT)).toBe(5);
    expect(association.accepted(CT, EXPLICIT)).toBeUndefined();
    expect(association.refusal(CT, EXPLICIT)).toBe(
      'CT Image Storage in Explicit VR Little Endian: transfer syntax not supported',
    );
    expect(association.refusal(CT, '1.2.840.10008.1.2.4.50')).toContain(
      'the peer chose Implicit VR Little Endian instead',
    );
    expect(association.refusal('1.2.3', EXPLICIT)).toContain('not proposed');
    const failure = await failureOf(association.store(object, chunks(Buffer.alloc(10), 10)));
    expect(failure).toMatchObject({
      kind: 'peer-refused',
      message: expect.stringContaining('transfer syntax not supported'),
    });
    expect((await failureOf(association.echo())).message).toContain('abstract syntax not supported');
    expect(association.open).toBe(true);
    association.abort();
  });
});

describe('store', () => {
  const data = randomBytes(200_001);

  it.each([
    [16384, 1000],
    [16384, 16378],
    [16384, 65536],
    [0, 200_001],
    [1_000_000, 7777],
    [40, 200_001],
  ])('sends the bytes as they are in PDUs of at most %i, from chunks of %i', async (maxPduLength, size) => {
    const bytes = maxPduLength === 40 ? data.subarray(0, 2000) : data;
    const got: (Received | undefined)[] = [];
    const association = await to(
      async (peer) => {
        for (let messageId = 1; messageId <= 2; messageId++) {
          got.push(await readStore(peer));
          peer.send(storeResponse(messageId, 0));
        }
        expect((await peer.next())?.type).toBe(5);
        peer.send(releaseResponse);
      },
      { maxPduLength },
    );
    for (let n = 0; n < 2; n++) {
      expect(await association.store({ ...object, length: bytes.length }, chunks(bytes, size))).toEqual({
        status: 0,
      });
    }
    await association.release();
    expect(association.open).toBe(false);
    const limit = maxPduLength === 0 ? 131_072 : Math.min(maxPduLength, 131_072);
    for (const received of got) {
      expect(received?.data.equals(bytes)).toBe(true);
      expect([...received!.contextIds]).toEqual([1]);
      expect(Math.max(...received!.pduLengths)).toBe(Math.min(limit, bytes.length + 6));
      // Full PDUs but the last, whatever the source's chunks.
      const dataPdus = received!.pduLengths
        .filter((length) => length > 6)
        .slice(-Math.ceil(bytes.length / (limit - 6)));
      expect(dataPdus.slice(0, -1).every((length) => length === limit)).toBe(true);
    }
    expect(got[1]?.command[0x1000]?.toString()).toContain('1.2.3.4');
    expect(got[1]?.command[0x0110]?.readUInt16LE(0)).toBe(2);
  });

  it('returns what the peer says, whatever it says', async () => {
    const association = await to(async (peer) => {
      await readStore(peer);
      const tags = { 2305: Buffer.from([0x10, 0, 0x20, 0]).toString('latin1'), 2306: 'no such patient ' };
      peer.send(storeResponse(1, 0xa900, tags));
    });
    expect(await association.store(object, chunks(data, 9999))).toEqual({
      status: 0xa900,
      errorComment: 'no such patient',
      offendingElements: ['(0010,0020)'],
    });
    expect(association.open).toBe(true);
  });

  it('refuses an object without a SOP Instance UID, and the association lives on', async () => {
    const association = await to(async (peer) => {
      await readStore(peer);
      peer.send(storeResponse(1, 0));
    });
    const nameless = { ...object, sopInstanceUid: undefined as unknown as string };
    expect((await failureOf(association.store(nameless, chunks(data, 5000)))).kind).toBe('invalid');
    expect(association.open).toBe(true);
    expect((await association.store(object, chunks(data, 5000))).status).toBe(0);
  });

  it('carries priority and move originator', async () => {
    let got: Received | undefined;
    const association = await to(async (peer) => {
      got = await readStore(peer);
      peer.send(storeResponse(1, 0));
    });
    await association.store(
      { ...object, priority: 1, moveOriginator: { aeTitle: 'MOVER', messageId: 77 } },
      chunks(data, 9999),
    );
    expect(got?.command[0x1030]?.toString()).toBe('MOVER ');
    expect(got?.command[0x1031]?.readUInt16LE(0)).toBe(77);
    expect(got?.command[0x0700]?.readUInt16LE(0)).toBe(1);
  });

  const ends: { name: string; script: (peer: RawPeer) => Promise<void>; words: RegExp }[] = [
    {
      name: 'aborts within the object',
      words: /aborted by the service user/,
      script: async (peer) => {
        await peer.next();
        await peer.next();
        peer.send(abortPdu);
      },
    },
    {
      name: 'closes within the object',
      words: /closed|ECONNRESET|EPIPE/,
      script: async (peer) => {
        await peer.next();
        peer.socket.destroy();
      },
    },
    {
      name: 'releases instead of answering',
      words: /released/,
      script: async (peer) => {
        await readStore(peer);
        peer.send(pdu(5, Buffer.alloc(4)));
      },
    },
    {
      name: 'answers another message',
      words: /answers no request of ours \(9\)/,
      script: async (peer) => {
        await readStore(peer);
        peer.send(storeResponse(9, 0));
      },
    },
    {
      name: 'sends garbage',
      words: /broke the protocol/,
      script: async (peer) => {
        await readStore(peer);
        peer.send(Buffer.from([99, 0, 0, 0, 0, 0]));
      },
    },
    {
      name: 'sends a data set',
      words: /with a data set/,
      script: async (peer) => {
        await readStore(peer);
        peer.send(pdata(pdv(1, 2, Buffer.alloc(8))));
      },
    },
    {
      name: 'sends a broken command',
      words: /inside an element header/,
      script: async (peer) => {
        await readStore(peer);
        peer.send(pdata(pdv(1, 3, Buffer.alloc(5))));
      },
    },
    {
      name: 'never answers',
      words: /no answer to message 1 within 150 ms/,
      script: async (peer) => {
        await readStore(peer);
      },
    },
    {
      name: 'takes nothing more',
      words: /it took nothing of the data set for 150 ms/,
      script: async (peer) => {
        await peer.next();
        peer.socket.pause();
      },
    },
  ];
  it.each(ends)("fails with 'peer-unreachable' when the peer $name", async ({ script, words }) => {
    // Only who says nothing at all is waited for in vain.
    const responseMs = / 150 ms/.test(words.source) ? 150 : 20_000;
    const association = await to(script, { timeouts: { responseMs } });
    const big = randomBytes(1024 * 1024);
    async function* source() {
      // Enough to fill the kernel's buffers where the peer takes nothing.
      for (let n = 0; n < (words.source.includes('took') ? 64 : 1); n++) yield big;
    }
    const failure = await failureOf(association.store(object, source()));
    expect(failure.kind).toBe('peer-unreachable');
    expect(failure.message).toMatch(words);
    expect(association.open).toBe(false);
    // And stays failed, with the same words.
    expect((await failureOf(association.store(object, chunks(data, 10)))).message).toBe(failure.message);
    await association.release();
  });

  it.skipIf(!hasSlowNetwork)(
    'waits for a peer behind a slow network, however long the whole takes (needs perl)',
    async () => {
      // Wide of what a kernel holds at this rate: how slow the way may be is not for a test to tell.
      const responseMs = 1500;
      const server = await startAcceptor();
      const network = await startSlowNetwork(server.port, 3_200_000);
      running.push(network, server);
      const association = await openAssociation({
        ...address(network.port),
        calledAeTitle: 'ISOCENTER',
        contexts,
        timeouts: { responseMs },
      });
      const big = randomBytes(1024 * 1024);
      async function* source() {
        for (let n = 0; n < 24; n++) yield big;
      }
      const began = performance.now();
      expect(await association.store(object, source())).toEqual({ status: 0 });
      expect(performance.now() - began, 'many times the limit').toBeGreaterThan(3 * responseMs);
      expect(server.kept[0]?.bytes.length).toBe(24 * big.length);
      await association.release();
    },
  );

  it('reads no more of the source than the peer takes', async () => {
    let read = 0;
    let resume: () => void = () => undefined;
    const association = await to(async (peer) => {
      await peer.next();
      peer.socket.pause();
      await new Promise<void>((resolve) => {
        resume = resolve;
      });
      peer.socket.resume();
      await readStore(peer);
      peer.send(storeResponse(1, 0));
    });
    const block = randomBytes(1024 * 1024);
    async function* source() {
      for (let n = 0; n < 64; n++) {
        read += block.length;
        yield block;
      }
    }
    const stored = association.store(object, source());
    let before = -1;
    while (read !== before) {
      before = read;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(read).toBeLessThan(20 * block.length);
    resume();
    expect(await stored).toEqual({ status: 0 });
    expect(read).toBe(64 * block.length);
  });

  describe('to a peer that answers before it has the data set', () => {
    /** With a queue that takes all, and a peer that takes next to nothing until it is let. */
    async function impatient(
      status: number,
    ): Promise<{ requestor: Requestor; socket: Socket; read(): void }> {
      const gate = Promise.withResolvers<void>();
      const server = await startRawServer(async (peer) => {
        await peer.next();
        peer.send(associateAccept(allAccepted));
        await peer.next();
        peer.socket.pause();
        peer.send(storeResponse(1, status));
        await gate.promise;
        peer.socket.resume();
      });
      running.push(server);
      const to = { port: server.port, host: '127.0.0.1', writableHighWaterMark: 2 ** 28 };
      const socket = connect(to);
      await once(socket, 'connect');
      const timeouts = { connectMs: 1000, associateMs: 20_000, responseMs: 20_000, releaseMs: 1000 };
      const requestor = new Requestor(socket, { peer: 'PACS', maxPduLength: 131_072, contexts, timeouts });
      const association = new Association('A', 'B');
      for (const { abstractSyntax, transferSyntaxes } of contexts) {
        const id = association.addPresentationContext(abstractSyntax);
        for (const uid of transferSyntaxes) association.addTransferSyntaxToPresentationContext(id, uid);
      }
      await requestor.associate(association);
      return { requestor, socket, read: gate.resolve };
    }
    const large = Buffer.alloc(64 * 1024 * 1024, 1);

    it.each([0x0000, 0xb000])('%j proves nothing, and ends the association', async (status) => {
      const { requestor, read } = await impatient(status);
      const failure = await failureOf(requestor.store(object, chunks(large, large.length)));
      read();
      expect(failure.kind).toBe('peer-unreachable');
      expect(failure.message).toContain('it answered message 1 before it had all of it');
      expect(requestor.open).toBe(false);
    });

    it('a refusal counts, once the bytes are out of our memory', async () => {
      const { requestor, socket, read } = await impatient(0xa700);
      let settled = false;
      const stored = requestor.store(object, chunks(large, large.length)).finally(() => {
        settled = true;
      });
      await expect.poll(() => socket.bytesRead).toBeGreaterThan(200);
      await turn();
      expect(settled).toBe(false);
      expect(socket.writableLength).toBeGreaterThan(0);
      read();
      expect((await stored).status).toBe(0xa700);
      expect(socket.writableLength).toBe(0);
    });

    it('a Success while the source is still read ends it at once', async () => {
      const association = await to(async (peer) => {
        await peer.next();
        peer.send(storeResponse(1, 0));
      });
      const endless = async function* () {
        for (;;) {
          await turn();
          yield data;
        }
      };
      expect((await failureOf(association.store(object, endless()))).message).toContain('before it had all');
    });
  });

  it("aborts and passes on the source's own failure", async () => {
    let last: number | undefined;
    let seen: () => void = () => undefined;
    const told = new Promise<void>((resolve) => {
      seen = resolve;
    });
    const association = await to(async (peer) => {
      for (let read = await peer.next(); read; read = await peer.next()) last = read.type;
      seen();
    });
    async function* source() {
      yield data;
      throw new Error('disk gone');
    }
    expect((await failureOf(association.store(object, source()))).message).toBe('disk gone');
    expect(association.open).toBe(false);
    await told;
    expect(last).toBe(7);
  });

  it.each([
    ['shorter than said', 200_002],
    ['longer than said', 200_000],
  ])('never completes an object that is %s', async (_name, length) => {
    let complete: Received | undefined;
    const association = await to(async (peer) => {
      complete = await readStore(peer);
    });
    const failure = await failureOf(association.store({ ...object, length }, chunks(data, 5000)));
    expect(failure.kind).toBe('mismatch');
    await turn();
    expect(complete).toBeUndefined();
  });

  it('refuses an empty data set, and a second request at the same time', async () => {
    const association = await to(async (peer) => {
      await peer.next();
    });
    const first = association.store(object, chunks(Buffer.alloc(0), 1));
    expect((await failureOf(association.store(object, chunks(data, 10)))).kind).toBe('conflict');
    expect((await failureOf(first)).kind).toBe('invalid');
  });
});

describe('echo and the end', () => {
  it('echoes, and release never rejects', async () => {
    const association = await to(
      async (peer) => {
        const read = await peer.next();
        expect(readCommand(read!.body.subarray(6))[0x0100]!.readUInt16LE(0)).toBe(0x0030);
        peer.send(pdata(pdv(3, 3, command({ 2: VERIFICATION, 256: 0x8030, 288: 1, 2048: 0x0101, 2304: 0 }))));
      },
      { timeouts: { releaseMs: 60 } },
    );
    expect(await association.echo()).toBe(0);
    await association.release();
    await association.release();
    expect(association.open).toBe(false);
    expect((await failureOf(association.echo())).kind).toBe('conflict');
  });
});
