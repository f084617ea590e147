/**
 * The floor under every receiver in Node: one process that reads PDUs (PS3.8 section 9.3), throws the data away and
 * answers Success, in as few steps as can be. It checks nothing and keeps nothing. Started by receivers/reader.ts;
 * prints its port, then after each association how many objects have come since the start.
 */
import { createServer, type Socket } from 'node:net';

const MAX_PDU = 131_072;
/** More is no association request or command set of storescu. */
const MAX_GATHERED = 65_536;
const A_ASSOCIATE_RQ = 1;
const P_DATA_TF = 4;
const A_RELEASE_RQ = 5;

let received = 0;

const server = createServer({ noDelay: true }, serve);
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address && typeof address === 'object') console.log(`port ${address.port}`);
});
process.on('SIGTERM', () => process.exit(0));

type Waiting = 'pdu header' | 'pdu' | 'pdv header' | 'command fragment' | 'data fragment';

function serve(socket: Socket): void {
  let waiting: Waiting = 'pdu header';
  /** Bytes still to come of what is waited for. */
  let missing = 6;
  const gathered = Buffer.alloc(MAX_GATHERED);
  let length = 0;
  let pduType = 0;
  let leftInPdu = 0;
  let contextId = 0;
  let lastFragment = false;
  let request: Buffer = Buffer.alloc(0);

  const expect = (what: Waiting, bytes: number): void => {
    waiting = what;
    missing = bytes;
    if (what !== 'command fragment' && what !== 'data fragment') length = 0;
  };
  const nextInPdu = (): void => {
    if (leftInPdu > 0) expect('pdv header', 6);
    else expect('pdu header', 6);
  };

  const complete = (): void => {
    if (waiting === 'pdu header') {
      pduType = gathered[0]!;
      leftInPdu = gathered.readUInt32BE(2);
      if (pduType === P_DATA_TF) nextInPdu();
      else expect('pdu', leftInPdu);
    } else if (waiting === 'pdu') {
      if (pduType === A_ASSOCIATE_RQ) socket.write(accept(gathered.subarray(0, length)));
      else if (pduType === A_RELEASE_RQ) socket.end(Buffer.from([6, 0, 0, 0, 0, 4, 0, 0, 0, 0]));
      else socket.destroy();
      expect('pdu header', 6);
    } else if (waiting === 'pdv header') {
      const fragment = gathered.readUInt32BE(0) - 2;
      leftInPdu -= fragment + 6;
      contextId = gathered[4]!;
      lastFragment = (gathered[5]! & 2) !== 0;
      length = 0;
      expect((gathered[5]! & 1) !== 0 ? 'command fragment' : 'data fragment', fragment);
    } else {
      if (lastFragment && waiting === 'command fragment') request = Buffer.from(gathered.subarray(0, length));
      if (lastFragment && waiting === 'data fragment') {
        received++;
        socket.write(success(contextId, request));
      }
      nextInPdu();
    }
  };

  socket.on('data', (chunk) => {
    for (let at = 0; at < chunk.length || missing === 0; ) {
      const bytes = Math.min(missing, chunk.length - at);
      if (waiting !== 'data fragment') {
        if (length + bytes > MAX_GATHERED) {
          socket.destroy();
          return;
        }
        chunk.copy(gathered, length, at, at + bytes);
        length += bytes;
      }
      at += bytes;
      missing -= bytes;
      if (missing === 0) complete();
    }
  });
  // A sender that was stopped; the bench sees it by the sender's own exit.
  socket.on('error', () => socket.destroy());
  socket.on('close', () => console.log(`received ${received}`));
}

/** A-ASSOCIATE-AC (PS3.8 9.3.3): every presentation context with its first transfer syntax. */
function accept(request: Buffer): Buffer {
  const items: Buffer[] = [item(0x10, Buffer.from('1.2.840.10008.3.1.1.1'))];
  for (const { type, value } of itemsOf(request, 68)) {
    if (type !== 0x20) continue;
    const transferSyntax = [...itemsOf(value, 4)].find((inner) => inner.type === 0x40);
    const result = Buffer.from([value[0]!, 0, 0, 0]);
    items.push(item(0x21, Buffer.concat([result, item(0x40, transferSyntax?.value ?? Buffer.alloc(0))])));
  }
  const maxLength = Buffer.alloc(4);
  maxLength.writeUInt32BE(MAX_PDU);
  const user = Buffer.concat([item(0x51, maxLength), item(0x52, Buffer.from('2.25.1'))]);
  items.push(item(0x50, user));
  const body = Buffer.concat([request.subarray(0, 68), ...items]);
  const head = Buffer.from([2, 0, 0, 0, 0, 0]);
  head.writeUInt32BE(body.length, 2);
  return Buffer.concat([head, body]);
}

function* itemsOf(bytes: Buffer, from: number): Generator<{ type: number; value: Buffer }> {
  for (let at = from; at + 4 <= bytes.length; ) {
    const end = at + 4 + bytes.readUInt16BE(at + 2);
    yield { type: bytes[at]!, value: bytes.subarray(at + 4, end) };
    at = end;
  }
}

function item(type: number, value: Buffer): Buffer {
  const head = Buffer.from([type, 0, 0, 0]);
  head.writeUInt16BE(value.length, 2);
  return Buffer.concat([head, value]);
}

/** C-STORE-RSP (PS3.7 9.3.1.2) in one P-DATA-TF, Implicit VR Little Endian. */
function success(contextId: number, request: Buffer): Buffer {
  const command = Buffer.concat([
    commandElement(0x0002, commandValue(request, 0x0002)),
    commandElement(0x0100, Buffer.from([0x01, 0x80])),
    commandElement(0x0120, commandValue(request, 0x0110)),
    commandElement(0x0800, Buffer.from([0x01, 0x01])),
    commandElement(0x0900, Buffer.from([0, 0])),
    commandElement(0x1000, commandValue(request, 0x1000)),
  ]);
  const groupLength = Buffer.alloc(4);
  groupLength.writeUInt32LE(command.length);
  const fragment = Buffer.concat([commandElement(0x0000, groupLength), command]);
  const head = Buffer.alloc(12);
  head[0] = P_DATA_TF;
  head.writeUInt32BE(fragment.length + 6, 2);
  head.writeUInt32BE(fragment.length + 2, 6);
  head[10] = contextId;
  head[11] = 3;
  return Buffer.concat([head, fragment]);
}

function commandElement(element: number, value: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16LE(element, 2);
  head.writeUInt32LE(value.length, 4);
  return Buffer.concat([head, value]);
}

function commandValue(command: Buffer, element: number): Buffer {
  for (let at = 0; at + 8 <= command.length; ) {
    const end = at + 8 + command.readUInt32LE(at + 4);
    if (command.readUInt16LE(at + 2) === element) return command.subarray(at + 8, end);
    at = end;
  }
  return Buffer.alloc(0);
}
