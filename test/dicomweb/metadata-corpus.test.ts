/**
 * Every file of the corpus goes in by STOW; what /metadata then says is held against PS3.18 Annex F and, attribute by
 * attribute, against what DCMTK's dcm2json says of the same file.
 */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endOfPixels } from '../../src/archive/read-attributes.ts';
import { HeaderScan } from '../../src/dicom/header-scan.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';
import { faultsOfDicomJson } from '../support/dicom-json-schema.ts';
import { type House, openHouse } from '../support/house.ts';
import { missing, peer } from '../support/peers.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { corpusFile, get, getJson, type Json, stow, value } from './door.ts';

const dcmtk = peer('dcmtk');
const run = promisify(execFile);

/** Where the two say different things on purpose or for good reason, as "file tag"; the reason stands above. */
const KNOWN = new Set([
  // Neither is a number: PS3.18 F.2.3 has no place for them, DCMTK gives them as strings.
  '65-ds-not-a-number.dcm 00200013',
  '65-ds-not-a-number.dcm 00281050',
  // Bytes beyond ASCII in a CS: DCMTK replaces them, we read them as Latin-1.
  'GH1301.dcm 00100040',
  // DCMTK rounds the largest double up, to infinity.
  'all-vrs-explicit.dcm 00720074',
]);

describe.skipIf(!corpusFolder)('the metadata of the whole corpus (needs ../shared/corpus)', () => {
  let house: House;
  let temp: TempFolder;
  const described = new Map<string, Json>();
  const faults: string[] = [];

  beforeAll(async () => {
    [house, temp] = await Promise.all([openHouse(), tempFolder('metadata')]);
    const rows = corpusIndex();
    for (let at = 0; at < rows.length; at += 30)
      await stow(
        house.url,
        rows.slice(at, at + 30).map((row) => corpusFile(row.file!)),
      );
    for (const study of await studies()) {
      const { status, bytes } = await get(`${house.url}/dicom-web/studies/${study}/metadata`);
      const text = bytes.toString();
      if (status !== 200) faults.push(`${study}: ${status} ${text}`);
      else faults.push(...faultsOfDicomJson(text).map((fault) => `${study}/${fault}`));
      for (const json of JSON.parse(text) as Json[]) described.set(String(value(json, '00080018')), json);
    }
  }, 240_000);
  afterAll(async () => {
    await house.close();
    await temp.remove();
  });

  async function studies(): Promise<string[]> {
    const uids: string[] = [];
    for (;;) {
      const { json } = await getJson(`${house.url}/dicom-web/studies?limit=100&offset=${uids.length}`);
      uids.push(...json.map((study) => String(value(study, '0020000D'))));
      if (json.length < 100) return uids;
    }
  }

  it('is DICOM JSON as PS3.18 Annex F writes it', () => {
    expect(faults).toEqual([]);
    expect(described.size).toBeGreaterThan(500);
  });

  it.skipIf(!dcmtk)(
    `is what dcm2json reads (${dcmtk ? 'DCMTK' : missing('dcmtk')})`,
    async () => {
      const found: string[] = [];
      let compared = 0;
      // With a SOP Instance UID that several files have, the first is the current one, or none where all are refused.
      const rows = corpusIndex().filter(
        (row) => row.sop_uid_shared_by === '1' && described.has(row.sop_uid!),
      );
      for (const row of rows) {
        const theirs = await readByDcmtk(row.file!, temp.path);
        if (!theirs) continue;
        compared++;
        const name = path.basename(row.file!);
        for (const { tag, says } of await differences(described.get(row.sop_uid!)!, theirs))
          if (!KNOWN.has(`${name} ${tag}`)) found.push(`${row.file} ${tag}: ${says}`);
      }
      expect(found).toEqual([]);
      expect(compared).toBeGreaterThan(400);
    },
    240_000,
  );
});

/** Undefined where DCMTK cannot read it: text that is not of the declared character set, invalid VRs. */
async function readByDcmtk(file: string, folder: string): Promise<Json | undefined> {
  const bytes = corpusFile(file);
  let name = path.join(corpusFolder!, file);
  const attributes = withoutFragments(bytes);
  if (attributes) {
    name = path.join(folder, 'attributes.dcm');
    await writeFile(name, attributes);
  }
  const options = { maxBuffer: 1 << 28, encoding: 'buffer' as const };
  const { stdout } = await run(dcmtk!.dcm2json!, ['-q', '-fc', '-ee', name], options).catch(() => ({
    stdout: undefined,
  }));
  if (!stdout) return undefined;
  // Infinities as "encode extended" writes them, for which JSON has null; and decimal strings as they came ("1.").
  const text = stdout
    .toString()
    .replaceAll(/(?<=[[,])-?(?:nan|inf)(?=[\],])/g, 'null')
    .replaceAll(/(?<=[[,]-?\d+)\.(?=[\],])/g, '');
  return JSON.parse(text) as Json;
}

/** dcm2json 3.6.7 does not write encapsulated pixel data: what stands before it and behind. */
function withoutFragments(bytes: Buffer): Buffer | undefined {
  if (bytes.toString('latin1', 128, 132) !== 'DICM') return undefined;
  const meta = readFileMeta(bytes);
  const scan = new HeaderScan(meta.transferSyntaxUid);
  scan.push(bytes.subarray(meta.dataSetOffset));
  const { pixelData } = scan.end();
  if (!pixelData?.encapsulated) return undefined;
  return Buffer.concat([
    bytes.subarray(0, meta.dataSetOffset + pixelData.elementOffset),
    bytes.subarray(meta.dataSetOffset + endOfPixels(pixelData)!),
  ]);
}

interface Difference {
  tag: string;
  says: string;
}

async function differences(ours: Json, theirs: Json): Promise<Difference[]> {
  const found: Difference[] = [];
  for (const tag of new Set([...Object.keys(ours), ...Object.keys(theirs)])) {
    if (isOfOne(tag)) continue;
    const [mine, other] = [ours[tag], theirs[tag]];
    if (mine?.vr === 'SQ' && other?.vr === 'SQ' && mine.Value?.length === other.Value?.length) {
      const pairs = (mine.Value ?? []).map((item, n) => [item, other.Value![n]] as [Json, Json]);
      for (const [left, right] of pairs) found.push(...(await differences(left, right)));
      continue;
    }
    // DCMTK has a dictionary of makers' attributes, we have none; and it leaves UN what the Standard's names.
    const isPrivate = Number.parseInt(tag.slice(3, 4), 16) % 2 === 1;
    if (mine && other && (other.vr === 'UN' || (isPrivate && mine.vr === 'UN'))) continue;
    const left = JSON.stringify(comparable(await inlined(mine)));
    const right = JSON.stringify(comparable(other));
    if (left !== right) found.push({ tag, says: `${left?.slice(0, 200)}, DCMTK ${right?.slice(0, 200)}` });
  }
  return found;
}

/**
 * What only one of the two has to say: the character set (theirs is of the JSON, ours of the object), File Meta, pixels (other
 * suites compare them), Available Transfer Syntax UID (of PS3.18, not of the file).
 */
function isOfOne(tag: string): boolean {
  return tag.startsWith('0002') || ['00080005', '7FE00010', '00083002'].includes(tag);
}

async function inlined(element: Json[string] | undefined): Promise<Json[string] | undefined> {
  if (!element?.BulkDataURI) return element;
  const { bytes } = await get(element.BulkDataURI, 'application/octet-stream');
  return { vr: element.vr, InlineBinary: bytes.toString('base64') };
}

/** Of numbers the same precision, of names no delimiters at the end, of text no NULs, which PostgreSQL does not take. */
function comparable(element: Json[string] | undefined): unknown {
  if (!element) return undefined;
  const { vr, InlineBinary, Value } = element;
  const values = Value?.map((one) => {
    if (vr === 'PN')
      return Object.entries(one ?? {})
        .map(([group, name]) => `${group}=${String(name).replace(/\^+$/, '')}`)
        .filter((text) => !text.endsWith('='));
    if (vr === 'FL') return Math.fround(Number(one));
    if (vr === 'FD') return Number(Number(one).toPrecision(13));
    if (vr === 'DS' && one !== null && Number.isFinite(Number(one))) return Number(one);
    return typeof one === 'string' ? one.replaceAll('\0', '') : one;
  });
  const isEmpty = values?.every((one) => one === '' || (Array.isArray(one) && one.length === 0)) ?? true;
  return { vr, InlineBinary, Value: isEmpty ? undefined : values };
}
