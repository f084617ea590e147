/**
 * A conversation of a modality with the archive as bytes, and what can go wrong with it: each fault is one change, so
 * that what comes of it can be said. Written by hand from PS3.8 9.3, it shares no code with src/.
 */
import { associateRequest, pdata, pdv, releaseRequest, storeCommand } from '../dimse/raw-peer.ts';
import { type AnObject, CT } from '../support/an-object.ts';
import type { Chance } from './chance.ts';

/** PDUs in the order in which they are sent: request, command, data set in some fragments, release. */
export function conversation(object: AnObject, calling: string, chance: Chance): Buffer[] {
  const { dataSet, sop } = object;
  const pdus = [associateRequest({ calling }), pdata(pdv(1, 3, storeCommand(1, sop, CT)))];
  const step = chance.whole(200, 2000);
  for (let at = 0; at < dataSet.length; at += step)
    pdus.push(pdata(pdv(1, at + step >= dataSet.length ? 2 : 0, dataSet.subarray(at, at + step))));
  return [...pdus, releaseRequest];
}

export interface Fault {
  name: string;
  /** Whether the bytes of the command and the data set come as they are, if they come at all. */
  keepsTheObject: boolean;
  /** A fragment may be named the last too soon: what came till then may be an object, a shorter one, and is all of it. */
  mayEndSooner?: true;
  apply(pdus: Buffer[], chance: Chance): Buffer[];
}

/** Wrong by a little, by a lot, and by all that 32 bits can say. */
const wrongLength = (right: number, chance: Chance): number =>
  chance.pick([
    0,
    1,
    3,
    right - 1,
    right + 1,
    right + chance.whole(2, 500),
    right >> 1,
    262_145,
    0x7fffffff,
    0xffffffff,
  ]) >>> 0;

const changed = (pdus: Buffer[], n: number, change: (pdu: Buffer) => void): Buffer[] =>
  pdus.map((pdu, at) => {
    if (at !== n) return pdu;
    const copy = Buffer.from(pdu);
    change(copy);
    return copy;
  });
const any = (pdus: Buffer[], chance: Chance): number => chance.whole(0, pdus.length - 1);
/** A P-DATA-TF; the first PDU is the request, the last the release. */
const data = (pdus: Buffer[], chance: Chance): number => chance.whole(1, pdus.length - 2);

/** Where the items of the A-ASSOCIATE-RQ begin, sub-items too (PS3.8 9.3.2). */
function itemsOf(request: Buffer): number[] {
  const found: number[] = [];
  const walk = (from: number, to: number): void => {
    for (let at = from; at + 4 <= to; ) {
      found.push(at);
      const length = request.readUInt16BE(at + 2);
      if (request[at] === 0x20) walk(at + 8, at + 4 + length);
      if (request[at] === 0x50) walk(at + 4, at + 4 + length);
      at += 4 + length;
    }
  };
  walk(74, request.length);
  return found;
}

const onItem = (change: (pdu: Buffer, at: number, chance: Chance) => void): Fault['apply'] => {
  return (pdus, chance) => changed(pdus, 0, (pdu) => change(pdu, chance.pick(itemsOf(pdu)), chance));
};

export const faults: readonly Fault[] = [
  {
    name: 'PDU length',
    keepsTheObject: true,
    apply: (pdus, chance) =>
      changed(pdus, any(pdus, chance), (pdu) => pdu.writeUInt32BE(wrongLength(pdu.length - 6, chance), 2)),
  },
  {
    name: 'PDU type',
    keepsTheObject: true,
    apply: (pdus, chance) =>
      changed(pdus, any(pdus, chance), (pdu) => {
        pdu[0] = chance.happens(0.5) ? chance.whole(0, 8) : chance.whole(0, 255);
      }),
  },
  {
    name: 'reserved byte of a PDU',
    keepsTheObject: true,
    apply: (pdus, chance) =>
      changed(pdus, any(pdus, chance), (pdu) => {
        pdu[1] = chance.whole(1, 255);
      }),
  },
  {
    name: 'PDV length',
    keepsTheObject: true,
    apply: (pdus, chance) =>
      changed(pdus, data(pdus, chance), (pdu) => pdu.writeUInt32BE(wrongLength(pdu.length - 10, chance), 6)),
  },
  {
    name: 'presentation context of a PDV',
    keepsTheObject: true,
    apply: (pdus, chance) =>
      changed(pdus, data(pdus, chance), (pdu) => {
        pdu[10] = chance.whole(0, 255);
      }),
  },
  {
    name: 'control header of a PDV',
    keepsTheObject: true,
    mayEndSooner: true,
    apply: (pdus, chance) =>
      changed(pdus, data(pdus, chance), (pdu) => {
        pdu[11] = chance.happens(0.7) ? chance.whole(0, 3) : chance.whole(0, 255);
      }),
  },
  {
    name: 'item type',
    keepsTheObject: true,
    apply: onItem((pdu, at, chance) => {
      pdu[at] = chance.happens(0.5)
        ? chance.pick([0x10, 0x20, 0x21, 0x30, 0x40, 0x50, 0x51])
        : chance.whole(0, 255);
    }),
  },
  {
    name: 'item length',
    keepsTheObject: true,
    apply: onItem((pdu, at, chance) =>
      pdu.writeUInt16BE(wrongLength(pdu.readUInt16BE(at + 2), chance) & 0xffff, at + 2),
    ),
  },
  {
    name: 'item value',
    keepsTheObject: true,
    apply: onItem((pdu, at, chance) => {
      pdu[Math.min(pdu.length - 1, at + 4 + chance.whole(0, 20))] = chance.whole(0, 255);
    }),
  },
  {
    name: 'PDU left out',
    keepsTheObject: false,
    apply: (pdus, chance) => pdus.toSpliced(any(pdus, chance), 1),
  },
  {
    name: 'PDU twice',
    keepsTheObject: false,
    apply: (pdus, chance) => {
      const n = any(pdus, chance);
      return pdus.toSpliced(n, 0, pdus[n]!);
    },
  },
  {
    name: 'PDUs in another order',
    keepsTheObject: false,
    apply: (pdus, chance) => {
      const [moved] = pdus.splice(any(pdus, chance), 1);
      return pdus.toSpliced(any(pdus, chance), 0, moved!);
    },
  },
  {
    name: 'bytes between PDUs',
    keepsTheObject: true,
    apply: (pdus, chance) =>
      pdus.toSpliced(
        any(pdus, chance),
        0,
        Buffer.from(Array.from({ length: chance.whole(1, 40) }, () => chance.whole(0, 255))),
      ),
  },
  {
    name: 'end in the middle',
    keepsTheObject: true,
    apply: (pdus, chance) => {
      const bytes = Buffer.concat(pdus);
      return [bytes.subarray(0, chance.whole(1, bytes.length - 1))];
    },
  },
  {
    name: 'bytes of the command',
    keepsTheObject: false,
    apply: (pdus, chance) =>
      changed(pdus, 1, (pdu) => {
        for (let n = chance.whole(1, 3); n > 0; n--)
          pdu[chance.whole(12, pdu.length - 1)] = chance.whole(0, 255);
      }),
  },
  {
    name: 'bytes anywhere',
    keepsTheObject: false,
    apply: (pdus, chance) =>
      changed(pdus, any(pdus, chance), (pdu) => {
        for (let n = chance.whole(1, 8); n > 0; n--)
          pdu[chance.whole(0, pdu.length - 1)] = chance.whole(0, 255);
      }),
  },
];

/**
 * The same message in another form that PS3.8 allows: PDVs cut at `at`, in one PDU or several, the command cut too,
 * command and data set in one PDU, PDVs without a value.
 */
export function otherForm(messageId: number, object: AnObject, at: number, form: number): Buffer {
  const command = storeCommand(messageId, object.sop, CT);
  const { dataSet } = object;
  const cut = at % (command.length + 1);
  const commands = [pdv(1, 1, command.subarray(0, cut)), pdv(1, 3, command.subarray(cut))];
  const data = [pdv(1, 0, dataSet.subarray(0, at)), pdv(1, 2, dataSet.subarray(at))];
  const forms = [
    () => [pdata(pdv(1, 3, command)), pdata(...data)],
    () => [...commands.map((one) => pdata(one)), ...data.map((one) => pdata(one))],
    () => [pdata(...commands, ...data)],
    () => [pdata(commands[0]!), pdata(commands[1]!, data[0]!), pdata(data[1]!)],
    () => [
      pdata(pdv(1, 3, command)),
      pdata(pdv(1, 0, dataSet), pdv(1, 0, Buffer.alloc(0))),
      pdata(pdv(1, 2, Buffer.alloc(0))),
    ],
  ];
  return Buffer.concat(forms[form % forms.length]!());
}
