/**
 * Byte equality over the whole readable corpus: sent by our sender (`isocenter send`) and, into another archive, by a
 * raw one that shares no code with src/. `original` is the source's data set bit for bit; WADO-RS is too for Explicit
 * Little Endian, deflated and encapsulated, and value for value in Explicit Little Endian for the others, compared by
 * DCMTK. What the files say of themselves is read from the corpus' index, not by our own reader.
 * Files that share a SOP Instance UID come in rounds, each in an archive of its own.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { send } from '../../src/cli/send.ts';
import { createScreen } from '../cli/screen.ts';
import { multipartDecode } from '../dicomweb/multipart-decode.ts';
import { command, connectRaw, pdata, pdv, type RawPeer, releaseRequest } from '../dimse/raw-peer.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';
import { type House, openHouse } from '../support/house.ts';
import { peer } from '../support/peers.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { limitMs, times } from './scale.ts';

const run = promisify(execFile);
const dcmtk = peer('dcmtk');
const IMPLICIT_LE = '1.2.840.10008.1.2';
const EXPLICIT_LE = '1.2.840.10008.1.2.1';
const DEFLATED = '1.2.840.10008.1.2.1.99';
const EXPLICIT_BE = '1.2.840.10008.1.2.2';
/** As many files of one SOP Instance UID as are looked at. */
const ROUNDS = times(2, 1000);

interface Source {
  path: string;
  sopClass: string;
  sop: string;
  study: string;
  series: string;
  syntax: string;
  dataSetOffset: number;
}

/** Where the File Meta ends: elements of group 0002, always Explicit VR Little Endian (PS3.10 7.1). */
function endOfFileMeta(file: Buffer): number | undefined {
  if (file.toString('latin1', 128, 132) !== 'DICM') return undefined;
  let at = 132;
  while (at + 8 <= file.length && file.readUInt16LE(at) === 2) {
    const long = ['OB', 'OW', 'UN', 'SQ', 'UT', 'UC', 'UR'].includes(file.toString('latin1', at + 4, at + 6));
    at += long ? 12 + file.readUInt32LE(at + 8) : 8 + file.readUInt16LE(at + 6);
  }
  return at;
}

function readable(): Source[] {
  const isUid = (text = '') => /^[\d.]{1,64}$/.test(text);
  const found: Source[] = [];
  for (const row of corpusIndex()) {
    const {
      sop_class_uid: sopClass,
      sop_uid: sop,
      study_uid: study,
      series_uid: series,
      ts_uid: syntax,
    } = row;
    if (
      row.dcmdump_rc !== '0' ||
      row.pydicom !== 'ok' ||
      /Invalid value for VR UI|meta MediaStorage/.test(row.special!)
    )
      continue;
    if (![sopClass, sop, study, series, syntax].every(isUid)) continue;
    if (syntax === '1.2.3.4.5') continue; // of no Standard, on purpose
    const path = join(corpusFolder!, row.file!);
    const dataSetOffset = endOfFileMeta(readFileSync(path));
    if (dataSetOffset === undefined) continue;
    found.push({
      path,
      sopClass: sopClass!,
      sop: sop!,
      study: study!,
      series: series!,
      syntax: syntax!,
      dataSetOffset,
    });
  }
  return found;
}

/** The n-th file of each SOP Instance UID. */
function inRounds(sources: readonly Source[]): Source[][] {
  const rounds: Source[][] = [];
  const seen = new Map<string, number>();
  for (const source of sources) {
    const round = seen.get(source.sop) ?? 0;
    seen.set(source.sop, round + 1);
    rounds[round] ??= [];
    rounds[round].push(source);
  }
  return rounds;
}

const dataSetOf = ({ path, dataSetOffset }: Source): Buffer => readFileSync(path).subarray(dataSetOffset);

async function byOurSender(house: House, sources: readonly Source[]): Promise<void> {
  const screen = createScreen();
  const paths = sources.map(({ path }) => path);
  const code = await send(paths, `ISOCENTER@127.0.0.1:${house.dicomPort}`, { screen, associations: 2 });
  expect(code, screen.text()).toBe(0);
}

/** One association for every hundred kinds of object; PDUs and PDVs cut elsewhere for each object. */
async function byRawSender(house: House, sources: readonly Source[]): Promise<void> {
  const kinds = [...new Set(sources.map(({ sopClass, syntax }) => `${sopClass} ${syntax}`))];
  for (let at = 0; at < kinds.length; at += 100) {
    const ids = new Map(kinds.slice(at, at + 100).map((kind, n) => [kind, 2 * n + 1]));
    const contexts = [...ids].map(([kind, id]) => {
      const [abstractSyntax, transferSyntax] = kind.split(' ') as [string, string];
      return { id, abstractSyntax, transferSyntaxes: [transferSyntax] };
    });
    const raw = await connectRaw(house.dicomPort);
    await raw.associate({ calling: 'RAW', contexts });
    let n = 0;
    for (const source of sources) {
      const id = ids.get(`${source.sopClass} ${source.syntax}`);
      if (id !== undefined) await sendRaw(raw, id, ++n, source);
    }
    raw.send(releaseRequest);
    expect((await raw.next())?.type).toBe(6);
    raw.socket.destroy();
  }
}

async function sendRaw(raw: RawPeer, contextId: number, n: number, source: Source): Promise<void> {
  const bytes = dataSetOf(source);
  const request = command({
    2: source.sopClass,
    256: 1,
    272: n,
    1792: 0,
    2048: 0,
    4096: source.sop,
  });
  raw.send(pdata(pdv(contextId, 3, request)));
  // Of every length, odd ones too; two PDVs in each PDU.
  const length = 1 + ((n * 7919) % 60_000);
  for (let at = 0; at < bytes.length; at += 2 * length) {
    const pdvs = [at, at + length]
      .filter((start) => start < bytes.length)
      .map((start) =>
        pdv(contextId, start + length >= bytes.length ? 2 : 0, bytes.subarray(start, start + length)),
      );
    raw.send(pdata(...pdvs));
    if (raw.socket.writableNeedDrain) await new Promise((resolve) => raw.socket.once('drain', resolve));
  }
  const { status, comment } = await raw.response();
  expect(status, `${source.path}: ${comment}`).toBe(0);
}

/** Without its File Meta. */
async function original(house: House, { sop }: Source): Promise<Buffer> {
  const response = await fetch(`${house.url}/api/instances/${sop}/original`);
  const file = Buffer.from(await response.arrayBuffer());
  expect(response.status, `${sop}: ${file.subarray(0, 200)}`).toBe(200);
  return file.subarray(endOfFileMeta(file));
}

async function wado(house: House, { study, series, sop }: Source, accept: string): Promise<Buffer> {
  const url = `${house.url}/dicom-web/studies/${study}/series/${series}/instances/${sop}`;
  const response = await fetch(url, { headers: { accept } });
  const body = Buffer.from(await response.arrayBuffer());
  expect(response.status, `${url}: ${body.subarray(0, 200)}`).toBe(200);
  const parts = multipartDecode(body, response.headers.get('content-type') ?? '');
  expect(parts).toHaveLength(1);
  return parts[0]!.body;
}

/**
 * What DCMTK reads of a file, written by it as Implicit Little Endian with defined lengths: two files of the same
 * elements and values become the same bytes, whatever their VRs, byte order and form of sequences were.
 */
async function valuesOf(file: string): Promise<Buffer> {
  const out = `${file}.implicit`;
  await run(dcmtk!.dcmconv!, ['-q', '+ti', '+e', '-g', file, out]);
  const written = readFileSync(out);
  return written.subarray(endOfFileMeta(written));
}

describe.skipIf(!corpusFolder || !dcmtk)('byte equality (needs dcmtk and ../shared/corpus)', () => {
  const rounds = inRounds(readable()).slice(0, ROUNDS);

  describe.each([
    ['our sender', byOurSender],
    ['a raw sender', byRawSender],
  ])('of what %s sent', (_, deliver) => {
    it.each(rounds.map((sources, n) => [n + 1, sources] as const))(
      'in round %i',
      async (_n, sources) => {
        const house = await openHouse({ STABLE_AGE_S: '60' });
        const temp = await tempFolder('equality');
        const compared = { same: 0, converted: 0 };
        try {
          await deliver(house, sources);
          for (const source of sources) {
            const bytes = dataSetOf(source);
            expect((await original(house, source)).equals(bytes), `original of ${source.path}`).toBe(true);
            if (source.syntax === IMPLICIT_LE || source.syntax === EXPLICIT_BE) {
              const accept = 'multipart/related; type="application/dicom"';
              const theirs = join(temp.path, 'source.dcm');
              const ours = join(temp.path, 'ours.dcm');
              await writeFile(theirs, readFileSync(source.path));
              const answer = await wado(house, source, accept);
              expect(answer.includes(`${EXPLICIT_LE}\0`), source.path).toBe(true);
              await writeFile(ours, answer);
              expect((await valuesOf(ours)).equals(await valuesOf(theirs)), `WADO of ${source.path}`).toBe(
                true,
              );
              compared.converted++;
            } else {
              // A deflated one comes inflated to whoever does not name it: few clients read it.
              const syntax = source.syntax === DEFLATED ? DEFLATED : '*';
              const accept = `multipart/related; type="application/dicom"; transfer-syntax=${syntax}`;
              const answer = await wado(house, source, accept);
              expect(answer.subarray(endOfFileMeta(answer)).equals(bytes), `WADO of ${source.path}`).toBe(
                true,
              );
              compared.same++;
            }
          }
          if (sources === rounds[0]) {
            process.stdout.write(
              `byte equality: ${sources.length} objects, ${compared.same} as they are, ${compared.converted} converted\n`,
            );
            expect(compared.same).toBeGreaterThan(200);
            expect(compared.converted).toBeGreaterThan(30);
          }
        } finally {
          await house.close();
          await temp.remove();
        }
      },
      limitMs(180_000, 300_000),
    );
  });
});
