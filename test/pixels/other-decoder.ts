/**
 * What other programs make of a file: DCMTK's and GDCM's decoders to an uncompressed file, DCMTK's renderer to a
 * picture. The comparison of corpus.test.ts asks here; a program that cannot read a file gives undefined.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const JPEG = /^1\.2\.840\.10008\.1\.2\.4\.(5[01357]|70)$/;
const JPEG_LS = /^1\.2\.840\.10008\.1\.2\.4\.8[01]$/;
const RLE = '1.2.840.10008.1.2.5';

async function converted(folder: string, program: string, args: string[]): Promise<Buffer | undefined> {
  const out = join(folder, randomUUID());
  try {
    await run(program, [...args, out], { timeout: 30_000 });
    return await readFile(out);
  } catch (thrown) {
    // It ended with a status or made no file: it cannot read this one.
    if (thrown instanceof Error && 'code' in thrown) return undefined;
    throw thrown;
  } finally {
    await rm(out, { force: true });
  }
}

/** The file decompressed by DCMTK (Part 10, Explicit VR Little Endian). */
export function byDcmtk(
  file: string,
  transferSyntaxUid: string,
  folder: string,
): Promise<Buffer | undefined> {
  if (JPEG.test(transferSyntaxUid)) return converted(folder, 'dcmdjpeg', ['+px', file]);
  if (JPEG_LS.test(transferSyntaxUid)) return converted(folder, 'dcmdjpls', [file]);
  if (transferSyntaxUid === RLE) return converted(folder, 'dcmdrle', [file]);
  return converted(folder, 'dcmconv', ['+te', file]);
}

/** The same by GDCM. */
export function byGdcm(file: string, folder: string): Promise<Buffer | undefined> {
  return converted(folder, 'gdcmconv', ['-w', file]);
}

export interface OtherPicture {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly samples: Buffer;
}

/** Frame `number` (from 1) of an uncompressed file as DCMTK shows it in eight bits. */
export async function pictureByDcmtk(
  file: Uint8Array,
  number: number,
  args: string[],
  folder: string,
): Promise<OtherPicture | undefined> {
  const input = join(folder, `${randomUUID()}.dcm`);
  await writeFile(input, file);
  const bytes = await converted(folder, 'dcm2pnm', ['+op', '+F', String(number), ...args, input]);
  await rm(input);
  const head =
    bytes && /^P([56])\s(?:#[^\n]*\s)?(\d+)\s+(\d+)\s+(\d+)\s/.exec(bytes.toString('latin1', 0, 512));
  if (!head) return undefined;
  return {
    channels: head[1] === '5' ? 1 : 3,
    width: Number(head[2]),
    height: Number(head[3]),
    samples: bytes.subarray(head[0].length),
  };
}
