/**
 * The scripted PACS once more, fault by fault: what an administrator reads in the ledger when all is over, word for word.
 */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseDataSet } from '../../src/dicom/data-set.ts';
import { toDicomJson } from '../../src/dicom/dicom-json.ts';
import { EXPLICIT_LE, IMPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { CT_IMAGE, givenStableStudy, MR_IMAGE } from '../routing/given-study.ts';
import { freePort } from '../support/free-port.ts';
import { type BackDoor, openBackDoor } from './back-door.ts';
import { type Deed, type Script, type ScriptedPacs, startScriptedPacs } from './scripted-pacs.ts';

let door: BackDoor;
let pacs: ScriptedPacs;

beforeEach(async () => {
  door = await openBackDoor({ timeouts: { connectMs: 1000, answerMs: 700 } });
});
afterEach(async () => {
  await pacs.stop();
  await door.close();
});

/** Four CT slices, owed to a PACS that does as the script says; `healed` ends a fault that passes. */
async function sentTo(script: Script, given: Parameters<typeof givenStableStudy>[1] = {}) {
  pacs = await startScriptedPacs(script);
  await door.destination('pacs', { kind: 'dimse', host: '127.0.0.1', port: pacs.port, aeTitle: 'PACS' });
  await door.rule('all', { when: {}, send: ['pacs'] });
  return givenStableStudy(door.database, { store: door.store, instances: 4, pixelBytes: 3000, ...given });
}

const nthOf = (sopUid: string): number => Number(sopUid.split('.').at(-1));
/** Its address is another in every run. */
const plain = (words: string | null): string | null => words?.replaceAll(/:\d{4,5}\b/g, ':PORT') ?? null;

async function ledger(): Promise<unknown> {
  const [delivery] = await door.deliveries();
  const { state, delivered, failed, lastError } = delivery!;
  return { state, delivered, failed, lastError: plain(lastError) };
}

/** Each instance as "state [status] [words]". */
async function rows(): Promise<string[]> {
  return (await door.instances()).map(({ state, status, comment }) =>
    [state, status === null ? '' : `0x${status.toString(16).padStart(4, '0')}`, plain(comment) ?? '']
      .filter(Boolean)
      .join(' '),
  );
}

const FINE = 'delivered 0x0000';
const WELL = { state: 'delivered', delivered: 4, failed: 0, lastError: null };

test('it refuses one SOP class: that instance is parked with the reason, the others are delivered', async () => {
  await sentTo(
    {
      negotiate: ({ abstractSyntax, transferSyntaxes }) =>
        abstractSyntax === MR_IMAGE ? 'refuse-abstract-syntax' : transferSyntaxes[0]!,
    },
    { sopClassOf: (index) => (index === 2 ? MR_IMAGE : CT_IMAGE) },
  );
  await door.settled('parked');
  const why =
    'the peer does not take MR Image Storage in Explicit VR Little Endian: abstract syntax not supported';
  expect(await rows()).toEqual([FINE, `failed ${why}`, FINE, FINE]);
  expect(await ledger()).toEqual({
    state: 'parked',
    delivered: 3,
    failed: 1,
    lastError: `1 of 4 instances were refused: ${why}`,
  });
});

const answers: [string, Deed, string, object][] = [
  [
    '0xC000',
    { status: 0xc000, errorComment: 'no way' },
    'failed 0xc000 0xC000 Error: Cannot Understand: no way',
    {
      state: 'parked',
      delivered: 3,
      failed: 1,
      lastError: '1 of 4 instances were refused: 0xC000 Error: Cannot Understand: no way',
    },
  ],
  ['0xB000', 0xb000, 'warning 0xb000 0xB000 Coercion of Data Elements', WELL],
];

test.each(answers)('it answers %s to one instance', async (_name, deed, row, end) => {
  await sentTo({ answer: ({ affectedSopInstanceUid }) => (nthOf(affectedSopInstanceUid) === 3 ? deed : 0) });
  await door.settled('parked', 'delivered');
  expect(await rows()).toEqual([FINE, FINE, row, FINE]);
  expect(await ledger()).toEqual(end);
});

/** Faults that pass: what the ledger says while they last, and that nothing of it is left when they are over. */
const passing: [string, (faulty: () => boolean) => Script, RegExp][] = [
  [
    'rejects the association, as it does not know us',
    (faulty) => ({ reject: () => (faulty() ? 1 : undefined) }),
    /^PACS at 127\.0\.0\.1:PORT: the association was rejected permanently by the service user: no reason given$/,
  ],
  [
    'rejects the association, for now',
    (faulty) => ({ reject: () => (faulty() ? 2 : undefined) }),
    /^PACS at 127\.0\.0\.1:PORT: the association was rejected for now by the service user: no reason given$/,
  ],
  [
    'answers 0xA700',
    (faulty) => ({ answer: () => (faulty() ? 0xa700 : 0) }),
    /^0xA700 Refused: Out of Resources$/,
  ],
  [
    'aborts after two objects, each time',
    (faulty) => {
      let begun = 0;
      return { answer: () => (faulty() && ++begun % 3 === 0 ? 'abort' : 0) };
    },
    /^PACS at 127\.0\.0\.1:PORT: aborted by the service user$/,
  ],
  [
    'hangs',
    (faulty) => ({ answer: () => (faulty() ? 'hang' : 0) }),
    /^PACS at 127\.0\.0\.1:PORT: (no answer to message 1 within|it took nothing of the data set for) 700 ms$/,
  ],
  [
    'disconnects',
    (faulty) => ({ answer: () => (faulty() ? 'close' : 0) }),
    /^PACS at 127\.0\.0\.1:PORT: the connection was closed without a release$/,
  ],
];

test.each(passing)(
  'it %s: said while it lasts, and all is delivered afterwards',
  async (_name, scriptOf, words) => {
    let faulty = true;
    const { dataSets } = await sentTo(scriptOf(() => faulty));
    const { lastError, state } = await door.failing();
    expect(plain(lastError)).toMatch(words);
    expect(['owed', 'sending']).toContain(state);
    faulty = false;
    await door.settled('delivered');
    expect(await rows()).toEqual([FINE, FINE, FINE, FINE]);
    expect(await ledger()).toEqual(WELL);
    for (const [sopUid, bytes] of dataSets) expect(pacs.kept.get(sopUid)?.equals(bytes)).toBe(true);
    expect(await door.routing.table.destination('pacs')).toMatchObject({ faults: 0, lastFault: null });
  },
);

test('it is away for the whole backoff: nothing is parked, however long, and it costs a try a wait', async () => {
  await door.close();
  // A horizon that is over after the first wait: it counts a delivery's own faults, and this is none of them.
  door = await openBackDoor({ backoff: { firstMs: 50, capMs: 200, horizonMs: 100 } });
  const port = await freePort();
  await door.destination('pacs', { kind: 'dimse', host: '127.0.0.1', port, aeTitle: 'PACS' });
  await door.rule('all', { when: {}, send: ['pacs'] });
  await givenStableStudy(door.database, { store: door.store, instances: 4 });
  const faults = async () => (await door.routing.table.destination('pacs'))?.faults ?? 0;
  await expect.poll(faults, { timeout: 20_000 }).toBeGreaterThan(8);
  const [waiting] = await door.deliveries();
  expect(waiting).toMatchObject({ delivered: 0, failed: 0 });
  expect(plain(waiting!.lastError)).toMatch(
    /^PACS at 127\.0\.0\.1:PORT cannot be reached: nothing listens on that port \(ECONNREFUSED\)$/,
  );
  pacs = await startScriptedPacs({ port });
  await door.settled('delivered');
  expect(await rows()).toEqual([FINE, FINE, FINE, FINE]);
  expect(await ledger()).toEqual(WELL);
});

test.each([
  ['Explicit VR Little Endian', EXPLICIT_LE],
  ['Implicit VR Little Endian', IMPLICIT_LE],
])(
  'it takes only Implicit VR Little Endian: what is stored in %s arrives, value for value',
  async (_name, stored) => {
    const { dataSets } = await sentTo(
      {
        negotiate: ({ transferSyntaxes }) =>
          transferSyntaxes.includes(IMPLICIT_LE) ? IMPLICIT_LE : 'refuse-transfer-syntaxes',
      },
      { transferSyntax: stored },
    );
    await door.settled('delivered');
    expect(await rows()).toEqual([FINE, FINE, FINE, FINE]);
    expect(await ledger()).toEqual(WELL);
    expect(pacs.asked.map((one) => one.transferSyntaxUid)).toEqual(Array(4).fill(IMPLICIT_LE));
    for (const [sopUid, bytes] of dataSets) {
      const arrived = pacs.kept.get(sopUid)!;
      expect(arrived.equals(bytes)).toBe(stored === IMPLICIT_LE);
      // The VR of Pixel Data is OW in Implicit VR (PS3.5 A.1).
      const values = (data: Buffer, syntax: string) =>
        JSON.stringify(toDicomJson(parseDataSet(data, syntax))).replace(
          '"7FE00010":{"vr":"OB"',
          '"7FE00010":{"vr":"OW"',
        );
      expect(values(arrived, IMPLICIT_LE).length).toBeGreaterThan(500);
      expect(values(arrived, IMPLICIT_LE)).toBe(values(bytes, stored));
    }
  },
);

test('what is compressed, is not decoded here and is not taken is parked in words', async () => {
  await sentTo(
    {
      negotiate: ({ transferSyntaxes }) =>
        transferSyntaxes.includes(IMPLICIT_LE) ? IMPLICIT_LE : 'refuse-transfer-syntaxes',
    },
    { transferSyntax: '1.2.840.10008.1.2.4.100', instances: 1 },
  );
  await door.settled('parked');
  const why =
    'the peer does not take CT Image Storage in MPEG2 Main Profile / Main Level: transfer syntax not supported';
  expect(await rows()).toEqual([`failed ${why}`]);
  expect(await ledger()).toEqual({
    state: 'parked',
    delivered: 0,
    failed: 1,
    lastError: `1 of 1 instances were refused: ${why}`,
  });
});
