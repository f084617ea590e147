/**
 * Studies for the tests of routing and forwarding: rows made by the archive's own index, bytes put into a real store.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { Database } from '../../src/archive/database/database.ts';
import type { ObjectStore } from '../../src/archive/object-store/object-store.ts';
import type { ObjectReader } from '../../src/archive/read-object.ts';
import { declareStable } from '../../src/archive/stable-study.ts';
import { indexObjects } from '../../src/archive/study-index.ts';
import { attribute } from '../../src/dicom/attributes.ts';
import type { DicomJson } from '../../src/dicom/dicom-json.ts';
import { HeaderScan, type PixelLocation } from '../../src/dicom/header-scan.ts';
import { buildFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE, IMPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { createUid } from '../../src/dicom/uid.ts';

export const CT_IMAGE = '1.2.840.10008.5.1.4.1.1.2';
export const MR_IMAGE = '1.2.840.10008.5.1.4.1.1.4';

/** For rules that ask for indexed attributes only. */
export const noBytes: ObjectReader = {
  hasAll: async () => {},
  read: () => {
    throw new Error('no bytes are read here');
  },
  readRange: () => Promise.reject(new Error('no bytes are read here')),
};

/** DICOM JSON by keyword: `dicom({ StudyDate: '20240131' })`. */
export function dicom(values: Record<string, unknown>): DicomJson {
  return Object.fromEntries(
    Object.entries(values).map(([keyword, value]) => {
      const { tag, vr } = attribute(keyword)!;
      return [tag, { vr, Value: Array.isArray(value) ? value : [value] }];
    }),
  );
}

export interface GivenStudy {
  studyUid?: string;
  /** How many instances, or those from .. to (counted from 1). */
  instances?: number | readonly [number, number];
  modality?: string;
  sopClass?: string;
  /** Per instance, where they differ. */
  sopClassOf?: (index: number) => string;
  transferSyntax?: string;
  series?: number;
  from?: { kind: 'dimse' | 'stow'; callingAe?: string; calledAe?: string; address?: string; actor?: string };
  patientId?: string;
  more?: Record<string, unknown>;
  /** Where the objects' bytes go; without it there are rows only. */
  store?: ObjectStore;
  /** Of the pixels, per object. */
  pixelBytes?: number;
  /** Their header says how the pixels lie: a grey image of 8 bits with so many rows and columns. */
  side?: number;
}

export interface MadeStudy {
  studyUid: string;
  seriesUid: string;
  sopUids: string[];
  /** Data sets by SOP Instance UID, as stored. */
  dataSets: Map<string, Buffer>;
}

/** Indexes as the settler would; called again with the same study UID it adds to it. */
export async function givenStudy(database: Database, given: GivenStudy = {}): Promise<MadeStudy> {
  const { studyUid = createUid(), instances = 2, modality = 'CT', series = 1, patientId = 'PAT-1' } = given;
  const { transferSyntax = EXPLICIT_LE, from = { kind: 'dimse', callingAe: 'CT1' }, more = {} } = given;
  const [first, last] = typeof instances === 'number' ? [1, instances] : instances;
  const [reception, openedAt] = [randomUUID(), new Date().toISOString()];
  const seriesUid = `${studyUid.slice(0, 50)}.${series}`;
  const made: MadeStudy = { studyUid, seriesUid, sopUids: [], dataSets: new Map() };
  const batch = [];
  for (let index = first; index <= last; index++) {
    const sopUid = `${seriesUid}.${index}`;
    const sopClass = given.sopClassOf?.(index) ?? given.sopClass ?? CT_IMAGE;
    const values: Record<string, unknown> = {
      SOPClassUID: sopClass,
      SOPInstanceUID: sopUid,
      StudyDate: '20240131',
      StudyTime: '101530',
      Modality: modality,
      StudyDescription: 'CT Thorax',
      PatientName: { Alphabetic: 'Doe^Jane' },
      PatientID: patientId,
      StudyInstanceUID: studyUid,
      SeriesInstanceUID: seriesUid,
      SeriesNumber: series,
      InstanceNumber: index,
      ...(given.side && imagePixel(given.side)),
      ...more,
    };
    const pixels = given.side ? ramp(given.side, index) : Buffer.alloc(given.pixelBytes ?? 64, index);
    const dataSet = encode(values, transferSyntax, pixels);
    const meta = buildFileMeta({
      sopClassUid: sopClass,
      sopInstanceUid: sopUid,
      transferSyntaxUid: transferSyntax,
    });
    const file = Buffer.concat([meta, dataSet]);
    const contentHash = createHash('sha256').update(transferSyntax).update('\0').update(dataSet).digest();
    const key = `test/${sopUid}/${contentHash.toString('hex').slice(0, 16)}`;
    if (given.store) await put(given.store, key, file);
    made.sopUids.push(sopUid);
    made.dataSets.set(sopUid, dataSet);
    batch.push({
      sopClassUid: sopClass,
      sopInstanceUid: sopUid,
      studyInstanceUid: studyUid,
      seriesInstanceUid: seriesUid,
      transferSyntaxUid: transferSyntax,
      contentHash,
      length: file.length,
      dataSetOffset: meta.length,
      pixel: given.side ? pixelOf(dataSet, transferSyntax) : undefined,
      key,
      place: { in: 'store' as const },
      receivedAt: new Date().toISOString(),
      from: { reception, openedAt, ...from },
      header: dicom(values),
    });
  }
  await indexObjects(database, 'test', batch);
  return made;
}

const imagePixel = (side: number): Record<string, unknown> => ({
  SamplesPerPixel: 1,
  PhotometricInterpretation: 'MONOCHROME2',
  Rows: side,
  Columns: side,
  BitsAllocated: 8,
  BitsStored: 8,
  HighBit: 7,
  PixelRepresentation: 0,
});

/** Another one for each instance; it does not become very small. */
function ramp(side: number, index: number): Buffer {
  return Buffer.from(
    Uint8Array.from({ length: side * side }, (_, at) => (at * 7 + (at % 13) * index + (at >> 6)) % 251),
  );
}

function pixelOf(dataSet: Buffer, transferSyntax: string): PixelLocation | undefined {
  const scan = new HeaderScan(transferSyntax);
  scan.push(dataSet);
  return scan.end().pixelData;
}

/** The same, quiet for long enough: the change feed says so. */
export async function givenStableStudy(database: Database, given: GivenStudy = {}): Promise<MadeStudy> {
  const made = await givenStudy(database, given);
  await declareStable(database, 0);
  return made;
}

async function put(store: ObjectStore, key: string, file: Buffer): Promise<void> {
  await store.put(key, {
    length: file.length,
    sha256: createHash('sha256').update(file).digest(),
    async *open() {
      yield file;
    },
  });
}

/** A data set in Implicit or Explicit VR Little Endian with these values and an 8-bit Pixel Data behind them. */
function encode(values: Record<string, unknown>, transferSyntax: string, pixels: Buffer): Buffer {
  const elements = Object.entries(values).map(([keyword, value]) => {
    const { tag, vr } = attribute(keyword)!;
    const text =
      typeof value === 'object' && value !== null
        ? (value as { Alphabetic: string }).Alphabetic
        : String(value);
    const padded = text.length % 2 === 0 ? text : text + (vr === 'UI' ? '\0' : ' ');
    const bytes: Buffer =
      vr === 'US' ? Buffer.from(Uint16Array.of(Number(value)).buffer) : Buffer.from(padded, 'latin1');
    return { tag, vr, bytes };
  });
  elements.push({ tag: '7FE00010', vr: 'OB', bytes: pixels });
  elements.sort((a, b) => (a.tag < b.tag ? -1 : 1));
  return Buffer.concat(
    elements.map(({ tag, vr, bytes }) => element(tag, vr, bytes, transferSyntax === IMPLICIT_LE)),
  );
}

function element(tag: string, vr: string, bytes: Buffer, implicit: boolean): Buffer {
  const long = vr === 'OB';
  const header = Buffer.alloc(long && !implicit ? 12 : 8);
  header.writeUInt16LE(Number.parseInt(tag.slice(0, 4), 16), 0);
  header.writeUInt16LE(Number.parseInt(tag.slice(4), 16), 2);
  if (implicit) header.writeUInt32LE(bytes.length, 4);
  else {
    header.write(vr, 4, 'latin1');
    if (long) header.writeUInt32LE(bytes.length, 8);
    else header.writeUInt16LE(bytes.length, 6);
  }
  return Buffer.concat([header, bytes]);
}
