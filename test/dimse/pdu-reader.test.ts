import { describe, expect, it } from 'vitest';
import { PduReader } from '../../src/dimse/pdu-reader.ts';
import { associateRequest, pdata, pdu, pdv, releaseRequest, storeMessage } from './raw-peer.ts';

const data = Buffer.from(Array.from({ length: 300 }, (_, index) => index % 251));

/** A stream with every shape: short PDUs, several PDVs in one PDU, an empty PDV, data over many PDUs. */
const stream = Buffer.concat([
  associateRequest(),
  storeMessage(1, data, 70),
  pdata(pdv(1, 1, data.subarray(0, 9)), pdv(1, 3, Buffer.alloc(0)), pdv(3, 0, data.subarray(9, 40))),
  pdata(pdv(3, 2, Buffer.alloc(0))),
  pdata(pdv(1, 3, data.subarray(0, 20)), pdv(1, 2, Buffer.alloc(0))),
  releaseRequest,
]);

interface Seen {
  /** PDUs as hex, and fragments joined to whole PDVs. */
  events: string[];
  faults: { reason: number; sentence: string }[];
}

function reader(
  limits = { maxPduLength: 16384, maxAssociatePduLength: 65536 },
  hold?: () => Promise<void> | undefined,
) {
  const seen: Seen = { events: [], faults: [] };
  let value: Buffer[] = [];
  const paused: boolean[] = [];
  const made = new PduReader(limits, {
    pdu: (type, bytes) => {
      seen.events.push(`pdu ${type} ${bytes.toString('hex')}`);
      return hold?.();
    },
    fragment: (contextId, control, bytes, end) => {
      value.push(Buffer.from(bytes));
      if (end) {
        seen.events.push(`pdv ${contextId} ${control} ${Buffer.concat(value).toString('hex')}`);
        value = [];
      }
      return hold?.();
    },
    fault: (reason, sentence) => seen.faults.push({ reason, sentence }),
    pause: () => paused.push(true),
    resume: () => paused.push(false),
  });
  return { made, seen, paused };
}

const whole = (() => {
  const { made, seen } = reader();
  made.push(stream);
  return seen.events;
})();

describe('PduReader', () => {
  it('reads the stream in one chunk', () => {
    expect(whole).toHaveLength(1 + 1 + Math.ceil(300 / 70) + 3 + 1 + 2 + 1);
    expect(whole.at(-1)).toBe(`pdu 5 ${releaseRequest.toString('hex')}`);
    expect(
      whole
        .slice(2, 7)
        .join('')
        .replaceAll(/pdv 1 \d /g, ''),
    ).toBe(data.toString('hex'));
  });

  it('reads the same when it is split in two at any byte', () => {
    for (let at = 0; at <= stream.length; at++) {
      const { made, seen } = reader();
      made.push(stream.subarray(0, at));
      made.push(stream.subarray(at));
      expect(seen.events).toEqual(whole);
      expect(seen.faults).toEqual([]);
    }
  });

  it('reads the same one byte at a time', () => {
    const { made, seen } = reader();
    for (const byte of stream) made.push(Buffer.from([byte]));
    expect(seen.events).toEqual(whole);
  });

  it('reads the same when every callback holds it, in order, and resumes once at the end of each chunk', async () => {
    const { made, seen, paused } = reader(undefined, () => Promise.resolve());
    for (let at = 0; at < stream.length; at += 50) {
      made.push(stream.subarray(at, at + 50));
      while (made.held) await Promise.resolve();
    }
    expect(seen.events).toEqual(whole);
    expect(paused.at(-1)).toBe(false);
    expect(paused.filter((on) => on).length).toBeGreaterThan(10);
  });

  it('calls nothing while it is held', () => {
    const { made, seen } = reader(undefined, () => new Promise(() => undefined));
    made.push(stream);
    expect(seen.events).toHaveLength(1);
    expect(made.held).toBe(true);
  });

  it('ends no message whose last PDV has something behind it in its PDU that is no PDV', () => {
    const cut = pdata(pdv(1, 2, data.subarray(0, 100)));
    for (const length of [3, 40, 90]) {
      const changed = Buffer.from(cut);
      changed.writeUInt32BE(length, 6);
      const { made, seen } = reader();
      for (const byte of changed) made.push(Buffer.from([byte]));
      expect(seen.faults).toEqual([{ reason: 6, sentence: expect.stringMatching(/does not fit/) }]);
      expect(seen.events).toEqual([]);
    }
  });

  const faults: { name: string; bytes: Buffer; reason: number; words: RegExp }[] = [
    {
      name: 'an unknown PDU type, told from its first byte',
      bytes: Buffer.from('G'),
      reason: 1,
      words: /0x47/,
    },
    { name: 'PDU type 0', bytes: Buffer.from([0]), reason: 1, words: /0x00/ },
    { name: 'PDU type 8', bytes: Buffer.from([8]), reason: 1, words: /0x08/ },
    {
      name: 'a P-DATA-TF longer than announced',
      bytes: Buffer.from([4, 0, 0, 0, 0x40, 1]),
      reason: 6,
      words: /16385 bytes is longer than the 16384/,
    },
    {
      name: 'a P-DATA-TF of 4 GB',
      bytes: Buffer.from([4, 0, 255, 255, 255, 255]),
      reason: 6,
      words: /4294967295/,
    },
    {
      name: 'a P-DATA-TF without a PDV',
      bytes: Buffer.from([4, 0, 0, 0, 0, 0]),
      reason: 6,
      words: /holds no PDV/,
    },
    {
      name: 'a PDV that runs past its PDU',
      bytes: pdu(4, Buffer.from([0, 0, 0, 9, 1, 3, 0])),
      reason: 6,
      words: /does not fit/,
    },
    {
      name: 'a PDV shorter than its own header',
      bytes: pdu(4, Buffer.from([0, 0, 0, 1, 1, 3])),
      reason: 6,
      words: /does not fit/,
    },
    {
      name: 'bytes left over behind the last PDV',
      bytes: pdu(4, Buffer.concat([pdv(1, 3, Buffer.alloc(4)), Buffer.alloc(3)])),
      reason: 6,
      words: /left over/,
    },
    {
      name: 'an association request that is too long',
      bytes: Buffer.from([1, 0, 0, 1, 0, 1]),
      reason: 6,
      words: /65537/,
    },
    {
      name: 'a release request of 1 MB',
      bytes: Buffer.from([5, 0, 0, 0x10, 0, 0]),
      reason: 6,
      words: /1048576/,
    },
    {
      name: 'a release request of 0 bytes',
      bytes: Buffer.from([5, 0, 0, 0, 0, 0]),
      reason: 6,
      words: /outside 4 to/,
    },
  ];
  it.each(faults)('faults on $name', ({ bytes, reason, words }) => {
    const { made, seen } = reader();
    made.push(bytes);
    expect(seen.faults).toEqual([{ reason, sentence: expect.stringMatching(words) }]);
    made.push(stream);
    expect(seen.events).toEqual([]);
  });
});
