import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { modality } from '../../src/cli/modality.ts';
import { HeaderScan, scanText, scanUid } from '../../src/dicom/header-scan.ts';
import { buildFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { type AcceptorOptions, type Kept, startAcceptor } from '../dimse/acceptor.ts';
import { peer } from '../support/peers.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { createScreen } from './screen.ts';

const run = promisify(execFile);
const dicom3tools = peer('dicom3tools');
const running: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const part of running.splice(0)) await part.stop();
});

async function made(
  ct: number,
  seed?: string,
  options?: AcceptorOptions,
): Promise<{ code: number; kept: Kept[]; text: string }> {
  const house = await startAcceptor(options);
  running.push(house);
  const screen = createScreen();
  const code = await modality({ ct, to: `ISOCENTER@127.0.0.1:${house.port}`, seed, screen });
  return { code, kept: house.kept, text: screen.text() };
}

function read({ bytes }: Kept) {
  const keep = new Set([
    '00080016',
    '00080018',
    '0020000D',
    '0020000E',
    '00200032',
    '00200013',
    '00100010',
    '00280010',
    '00280011',
  ]);
  const scan = new HeaderScan(EXPLICIT_LE, { keep });
  scan.push(bytes);
  return scan.end();
}

describe('modality', () => {
  it('sends one CT series, slice by slice from the head, with pixels that are a chest', async () => {
    const { code, kept, text } = await made(3, 'a');
    expect(code).toBe(0);
    expect(text).toContain('3 objects');
    const scans = kept.map(read);
    expect(new Set(scans.map((scan) => scanUid(scan, '0020000D'))).size).toBe(1);
    expect(text).toContain(`Study Instance UID ${scanUid(scans[0]!, '0020000D')}`);
    expect(new Set(scans.map((scan) => scanUid(scan, '0020000E'))).size).toBe(1);
    expect(scans.map((scan) => scanText(scan, '00200032'))).toEqual([
      '-204.4\\-204.4\\100',
      '-204.4\\-204.4\\0',
      '-204.4\\-204.4\\-100',
    ]);
    for (const [index, scan] of scans.entries()) {
      expect(scan.fault).toBeUndefined();
      expect(scanUid(scan, '00080018')).toBe(kept[index]?.request.affectedSopInstanceUid);
      expect(scanText(scan, '00100010')).toBe('Phantom^Isocenter');
    }
    // Air, lung, fat, soft tissue and bone are all there in the middle slice.
    const middle = kept[1]!.bytes.subarray(-512 * 512 * 2);
    const counts = { air: 0, lung: 0, fat: 0, soft: 0, bone: 0 };
    for (let at = 0; at < middle.length; at += 2) {
      const hu = middle.readUInt16LE(at) - 1024;
      if (hu < -940) counts.air++;
      else if (hu < -650) counts.lung++;
      else if (hu > -150 && hu < -50) counts.fat++;
      else if (hu > 0 && hu < 150) counts.soft++;
      else if (hu > 300) counts.bone++;
    }
    for (const [tissue, pixels] of Object.entries(counts)) expect(pixels, tissue).toBeGreaterThan(1_000);
  });

  it('makes the same study from the same seed, and another without one', async () => {
    const first = await made(1, 'same');
    const again = await made(1, 'same');
    const other = await made(1);
    expect(again.kept[0]?.bytes.equals(first.kept[0]!.bytes)).toBe(true);
    expect(scanUid(read(other.kept[0]!), '0020000D')).not.toBe(scanUid(read(first.kept[0]!), '0020000D'));
  });

  it('leaves with 1 and the words when slices are refused', async () => {
    const { code, text } = await made(2, 'a', {
      open: () => ({ status: 0xa700, errorComment: 'The journal is full' }),
    });
    expect(code).toBe(1);
    expect(text).toContain('slice 1: 0xA700 Refused: Out of Resources: The journal is full');
    expect(text).toContain('2 of 2 slices were refused');
  });

  it.each([0, 2001, 1.5])('refuses %s slices', async (ct) => {
    await expect(modality({ ct })).rejects.toMatchObject({ kind: 'invalid' });
  });

  it.skipIf(!dicom3tools)('is valid by dciodvfy (needs dicom3tools)', async () => {
    const { kept } = await made(1, 'valid');
    const temp = await tempFolder('modality');
    running.push({ stop: temp.remove });
    const file = join(temp.path, 'slice.dcm');
    const { affectedSopClassUid: sopClassUid, affectedSopInstanceUid: sopInstanceUid } = kept[0]!.request;
    await writeFile(
      file,
      Buffer.concat([
        buildFileMeta({ sopClassUid, sopInstanceUid, transferSyntaxUid: EXPLICIT_LE }),
        kept[0]!.bytes,
      ]),
    );
    const { stderr, stdout } = await run(dicom3tools!.dciodvfy!, ['-new', file]);
    expect(`${stdout}${stderr}`.trim()).toBe('CTImage');
  });
});
