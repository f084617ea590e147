/**
 * A peer made of bytes, for both directions: it writes whatever a test wants, right or wrong, and reads whole PDUs.
 * It shares no code with src/dimse, so that an error there is not repeated here.
 */
import net from 'node:net';

export const EXPLICIT = '1.2.840.10008.1.2.1';
export const IMPLICIT = '1.2.840.10008.1.2';
export const CT = '1.2.840.10008.5.1.4.1.1.2';
export const VERIFICATION = '1.2.840.10008.1.1';

export interface RawContext {
  id: number;
  abstractSyntax: string;
  transferSyntaxes: string[];
}

export interface RawRequest {
  called?: string;
  calling?: string;
  contexts?: RawContext[];
  maxPduLength?: number;
  applicationContext?: string;
  protocolVersion?: number;
  /** Further user information sub-items, as bytes. */
  extra?: Buffer;
}

const ctContext: RawContext = { id: 1, abstractSyntax: CT, transferSyntaxes: [EXPLICIT] };

export function item(type: number, value: Buffer | string): Buffer {
  const bytes = Buffer.from(value);
  const head = Buffer.from([type, 0, 0, 0]);
  head.writeUInt16BE(bytes.length, 2);
  return Buffer.concat([head, bytes]);
}

export function pdu(type: number, body: Buffer): Buffer {
  const head = Buffer.from([type, 0, 0, 0, 0, 0]);
  head.writeUInt32BE(body.length, 2);
  return Buffer.concat([head, body]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function associateRequest(request: RawRequest = {}): Buffer {
  const contexts = request.contexts ?? [ctContext];
  const version = Buffer.alloc(4);
  version.writeUInt16BE(request.protocolVersion ?? 1);
  return pdu(
    1,
    Buffer.concat([
      version,
      Buffer.from((request.called ?? 'ISOCENTER').padEnd(16)),
      Buffer.from((request.calling ?? 'RAW').padEnd(16)),
      Buffer.alloc(32),
      item(0x10, request.applicationContext ?? '1.2.840.10008.3.1.1.1'),
      ...contexts.map(({ id, abstractSyntax, transferSyntaxes }) =>
        item(
          0x20,
          Buffer.concat([
            Buffer.from([id, 0, 0, 0]),
            item(0x30, abstractSyntax),
            ...transferSyntaxes.map((uid) => item(0x40, uid)),
          ]),
        ),
      ),
      item(
        0x50,
        Buffer.concat([
          item(0x51, uint32(request.maxPduLength ?? 16384)),
          item(0x52, '1.2.3.4'),
          request.extra ?? Buffer.alloc(0),
          item(0x55, 'RAW_1'),
        ]),
      ),
    ]),
  );
}

export interface AssociateAnswer {
  results: Map<number, { result: number; transferSyntax: string }>;
  userItems: Map<number, Buffer>;
}

export function readAssociateAccept(body: Buffer): AssociateAnswer {
  const results: AssociateAnswer['results'] = new Map();
  const userItems: AssociateAnswer['userItems'] = new Map();
  for (const { type, value } of items(body.subarray(68))) {
    if (type === 0x21) {
      const [syntax] = items(value.subarray(4));
      results.set(value[0]!, { result: value[2]!, transferSyntax: syntax?.value.toString('latin1') ?? '' });
    }
    if (type === 0x50) for (const user of items(value)) userItems.set(user.type, user.value);
  }
  return { results, userItems };
}

export function associateAccept(
  contexts: { id: number; result: number; transferSyntax: string }[],
  maxPduLength = 16384,
): Buffer {
  return pdu(
    2,
    Buffer.concat([
      Buffer.from([0, 1, 0, 0]),
      Buffer.alloc(64),
      item(0x10, '1.2.840.10008.3.1.1.1'),
      ...contexts.map(({ id, result, transferSyntax }) =>
        item(0x21, Buffer.concat([Buffer.from([id, 0, result, 0]), item(0x40, transferSyntax)])),
      ),
      item(0x50, Buffer.concat([item(0x51, uint32(maxPduLength)), item(0x52, '1.2.3.4')])),
    ]),
  );
}

export function items(bytes: Buffer): { type: number; value: Buffer }[] {
  const found = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt16BE(at + 2);
    found.push({ type: bytes[at]!, value: bytes.subarray(at + 4, at + 4 + length) });
    at += 4 + length;
  }
  return found;
}

export function pdv(contextId: number, control: number, value: Buffer): Buffer {
  return Buffer.concat([uint32(value.length + 2), Buffer.from([contextId, control]), value]);
}

export function pdata(...pdvs: Buffer[]): Buffer {
  return pdu(4, Buffer.concat(pdvs));
}

/** Elements of group 0000 by element number: numbers are US, strings UI or text. */
export function command(elements: Record<number, number | string>): Buffer {
  const encoded = Object.entries(elements)
    .map(([tag, value]) => ({ tag: Number(tag), value }))
    .sort((a, b) => a.tag - b.tag)
    .map(({ tag, value }) => {
      let bytes = Buffer.alloc(2);
      if (typeof value === 'number') bytes.writeUInt16LE(value);
      else bytes = Buffer.from(value.length % 2 === 0 ? value : `${value}\0`);
      const head = Buffer.alloc(8);
      head.writeUInt16LE(tag, 2);
      head.writeUInt32LE(bytes.length, 4);
      return Buffer.concat([head, bytes]);
    });
  const body = Buffer.concat(encoded);
  const length = Buffer.alloc(12);
  length.writeUInt32LE(4, 4);
  length.writeUInt32LE(body.length, 8);
  return Buffer.concat([length, body]);
}

export function storeCommand(messageId: number, sopInstanceUid = '1.2.3.4.5', sopClassUid = CT): Buffer {
  return command({
    2: sopClassUid,
    256: 0x0001,
    272: messageId,
    1792: 0,
    2048: 0x0000,
    4096: sopInstanceUid,
  });
}

export function echoCommand(messageId: number): Buffer {
  return command({ 2: VERIFICATION, 256: 0x0030, 272: messageId, 2048: 0x0101 });
}

/** A whole C-STORE as PDUs of at most `chunk` data set bytes. */
export function storeMessage(messageId: number, data: Buffer, chunk = 16378, contextId = 1): Buffer {
  const parts = [pdata(pdv(contextId, 3, storeCommand(messageId)))];
  for (let at = 0; at < data.length; at += chunk) {
    const value = data.subarray(at, at + chunk);
    parts.push(pdata(pdv(contextId, at + chunk >= data.length ? 2 : 0, value)));
  }
  return Buffer.concat(parts);
}

export const releaseRequest = pdu(5, Buffer.alloc(4));
export const releaseResponse = pdu(6, Buffer.alloc(4));
export const abortPdu = pdu(7, Buffer.from([0, 0, 0, 0]));

export type ReadCommand = Record<number, Buffer>;

export function readCommand(bytes: Buffer): ReadCommand {
  const elements: ReadCommand = {};
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at + 4);
    elements[bytes.readUInt16LE(at + 2)] = bytes.subarray(at + 8, at + 8 + length);
    at += 8 + length;
  }
  return elements;
}

export interface ReadPdu {
  type: number;
  body: Buffer;
}

export interface ReadResponse {
  status: number;
  messageId: number;
  field: number;
  comment: string;
  elements: ReadCommand;
  /** PDUs it took. */
  pdus: number;
}

/** A socket that gives whole PDUs; made by connectRaw, or on a socket that a test's server accepted. */
export class RawPeer {
  readonly socket: net.Socket;
  readonly #pdus: ReadPdu[] = [];
  readonly #waiting: ((pdu: ReadPdu | undefined) => void)[] = [];
  #bytes = Buffer.alloc(0);
  #closed = false;
  readonly closed: Promise<void>;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#closed = true;
        for (const waiter of this.#waiting.splice(0)) waiter(undefined);
        resolve();
      });
    });
  }

  #read(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    while (this.#bytes.length >= 6) {
      const end = 6 + this.#bytes.readUInt32BE(2);
      if (this.#bytes.length < end) return;
      const found = { type: this.#bytes[0]!, body: this.#bytes.subarray(6, end) };
      this.#bytes = this.#bytes.subarray(end);
      const waiter = this.#waiting.shift();
      if (waiter) waiter(found);
      else this.#pdus.push(found);
    }
  }

  send(...parts: Buffer[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  /** The next PDU; undefined once the socket is closed. */
  next(): Promise<ReadPdu | undefined> {
    const ready = this.#pdus.shift();
    if (ready || this.#closed) return Promise.resolve(ready);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** How many PDUs have come and were not asked for. */
  get unread(): number {
    return this.#pdus.length;
  }

  async associate(request: RawRequest = {}): Promise<AssociateAnswer> {
    this.send(associateRequest(request));
    const answer = await this.next();
    if (answer?.type !== 2) throw new Error(`no A-ASSOCIATE-AC but PDU ${answer?.type ?? 'none'}`);
    return readAssociateAccept(answer.body);
  }

  /** The next DIMSE response, from as many PDUs as it takes. */
  async response(): Promise<ReadResponse> {
    const parts: Buffer[] = [];
    let pdus = 0;
    for (;;) {
      const read = await this.next();
      if (read?.type !== 4) throw new Error(`no P-DATA-TF but PDU ${read?.type ?? 'none'}`);
      pdus++;
      parts.push(read.body.subarray(6));
      if ((read.body[5]! & 2) !== 0) break;
    }
    const elements = readCommand(Buffer.concat(parts));
    return {
      status: elements[0x0900]!.readUInt16LE(0),
      messageId: elements[0x0120]!.readUInt16LE(0),
      field: elements[0x0100]!.readUInt16LE(0),
      comment: elements[0x0902]?.toString('latin1').trimEnd() ?? '',
      elements,
      pdus,
    };
  }
}

/** @param localAddress to call from; on Linux all of 127.0.0.0/8 is ours */
export async function connectRaw(port: number, localAddress = '127.0.0.1'): Promise<RawPeer> {
  const socket = net.connect({ port, host: '127.0.0.1', localAddress });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', () => resolve());
    socket.once('error', reject);
  });
  return new RawPeer(socket);
}

/** A server that plays a script on every connection. */
export async function startRawServer(
  script: (peer: RawPeer) => Promise<void>,
): Promise<{ port: number; stop(): Promise<void> }> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    void script(new RawPeer(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
