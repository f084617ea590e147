/**
 * The metadata and bulk data form of STOW-RS (PS3.18 10.5.2): the first part is DICOM JSON of many instances, then
 * come the values its BulkDataURIs name, by Content-Location. Each instance is made and passed into archive/intake as
 * soon as its last value is there; until then values wait in the archive's spool, never in memory.
 * Called by stow.ts.
 */
import type { Spool, SpoolFile } from '../archive/intake/spool.ts';
import type { WebReception } from '../archive/intake/web-reception.ts';
import type { DicomJson } from '../dicom/dicom-json.ts';
import { EXPLICIT_LE } from '../dicom/transfer-syntax.ts';
import { isUid } from '../dicom/uid.ts';
import { asFailure, Failure } from '../failure.ts';
import { fromDicomJson, type WrittenDataSet } from '../transform/from-dicom-json.ts';
import { type BulkValue, checkSyntax, pixelSyntax, writeBulk } from './bulk-value.ts';
import type { ByteBudget } from './byte-budget.ts';
import { parseMediaType } from './media-type.ts';
import { checkLength, type Part } from './multipart-parser.ts';
import { type FailedPart, failedPart, type StoredPart, WARNING } from './stow-response.ts';

export const DICOM_JSON = 'application/dicom+json';
const SOP_CLASS_UID = '00080016';
const SOP_INSTANCE_UID = '00080018';
const STUDY_INSTANCE_UID = '0020000D';
const PIXEL_DATA = '7FE00010';
/** Of one request: some 6,000 instances. */
export const MAX_METADATA_BYTES = 32 * 1024 * 1024;
/** One value, or one frame, behind the other. */
const MAX_PARTS = 50_000;

export interface MetadataParts {
  readonly reception: WebReception;
  /** Of the URL. */
  readonly study: string | undefined;
  readonly spool: Spool;
  /** Of the metadata of all requests together. */
  readonly budget: ByteBudget;
  /** What BulkDataURI and Content-Location are relative to. */
  readonly base: string;
}

interface Instance {
  readonly json: Identity;
  readonly dataSet: WrittenDataSet;
  /** Resolved URIs of values that have not come. */
  readonly missing: Set<string>;
}

interface Identity {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  /** (0002,0010) of the metadata, where it has one. */
  readonly transferSyntaxUid: string | undefined;
  readonly frames: number;
}

interface Awaited {
  readonly value: BulkValue;
  readonly users: Set<Instance>;
}

/** @throws Failure when the body or its metadata cannot be read: what was whole before that is stored */
export async function storeMetadata(
  incoming: AsyncIterable<Part>,
  parts: MetadataParts,
): Promise<{ stored: StoredPart[]; failed: FailedPart[] }> {
  const file = parts.spool.open();
  const releases: (() => void)[] = [];
  try {
    const request = new MetadataRequest(parts, file);
    for await (const part of incoming)
      if (!request.begun) await request.begin(await metadataOf(part, parts.budget, releases));
      else await request.take(part);
    await request.end();
    return request;
  } finally {
    await file.close();
    for (const release of releases) release();
  }
}

class MetadataRequest {
  readonly stored: StoredPart[] = [];
  readonly failed: FailedPart[] = [];
  begun = false;
  readonly #parts: MetadataParts;
  readonly #file: SpoolFile;
  readonly #awaited = new Map<string, Awaited>();
  readonly #waiting = new Set<Instance>();
  readonly #come = new Set<string>();
  /** The value whose parts come now. */
  #open: string | undefined;
  #count = 0;
  /** Values of an instance that was refused are nobody's. */
  #strangersAllowed = false;

  constructor(parts: MetadataParts, file: SpoolFile) {
    this.#parts = parts;
    this.#file = file;
  }

  async begin(metadata: readonly unknown[]): Promise<void> {
    this.begun = true;
    const whole: Instance[] = [];
    for (const json of metadata) {
      const instance = this.#prepare(json);
      if (!instance) continue;
      if (instance.missing.size === 0) whole.push(instance);
      else this.#waiting.add(instance);
    }
    for (const instance of whole) await this.#store(instance);
  }

  #prepare(json: unknown): Instance | undefined {
    try {
      const identity = identityOf(json, this.#parts.study);
      const dataSet = fromDicomJson(json as DicomJson);
      const instance = { json: identity, dataSet, missing: new Set<string>() };
      for (const piece of dataSet.pieces) {
        if (Buffer.isBuffer(piece)) continue;
        const uri = this.#resolved(piece.uri);
        instance.missing.add(uri);
        const known = this.#awaited.get(uri);
        if (known) known.users.add(instance);
        else this.#awaited.set(uri, { value: { parts: [] }, users: new Set([instance]) });
      }
      return instance;
    } catch (thrown) {
      this.#strangersAllowed = true;
      this.#fail(thrown, uidsOf(json));
      return undefined;
    }
  }

  async take(part: Part): Promise<void> {
    if (++this.#count > MAX_PARTS)
      throw new Failure(
        'too-large',
        `The request holds more than ${MAX_PARTS} parts: what came before is stored`,
      );
    const location = part.headers.get('content-location');
    const uri = location === undefined ? undefined : this.#wanted(this.#resolved(location));
    if (uri !== this.#open) await this.#close();
    const awaited = uri === undefined || this.#come.has(uri) ? undefined : this.#awaited.get(uri);
    if (uri === undefined || !awaited) {
      const isNobodys = this.#strangersAllowed && location !== undefined && uri === undefined;
      if (!isNobodys) this.#fail(new Failure('invalid', strangerFault(location, uri)), {});
      return;
    }
    this.#open = uri;
    await this.#spool(part, awaited.value);
  }

  /** All of it is read, whatever becomes of it: what throws is the body's fault. */
  async #spool(part: Part, value: BulkValue): Promise<void> {
    value.spooled ??= this.#file.begin();
    const from = value.spooled.length;
    let passed = 0;
    for await (const chunk of part.body) {
      passed += chunk.length;
      if (value.failure) continue;
      try {
        await value.spooled.append(chunk);
      } catch (thrown) {
        value.failure = asFailure(thrown);
      }
    }
    const media = parseMediaType(part.headers.get('content-type') ?? 'application/octet-stream');
    try {
      checkLength(part.headers.get('content-length'), passed);
      if (!media) throw new Failure('invalid', 'The Content-Type of a bulk data part is no media type');
    } catch (thrown) {
      value.failure ??= asFailure(thrown);
    }
    if (media) value.parts.push({ from, length: passed, media });
  }

  /** The value is whole when another part begins: frames of one come as parts of their own. */
  async #close(): Promise<void> {
    const uri = this.#open;
    this.#open = undefined;
    const awaited = uri === undefined ? undefined : this.#awaited.get(uri);
    if (uri === undefined || !awaited) return;
    this.#come.add(uri);
    for (const instance of awaited.users) {
      instance.missing.delete(uri);
      if (instance.missing.size === 0) await this.#store(instance);
    }
  }

  async end(): Promise<void> {
    if (!this.begun) return;
    await this.#close();
    for (const instance of this.#waiting)
      this.#fail(
        new Failure('invalid', 'No part of the request has the Content-Location of one of its BulkDataURIs'),
        instance.json,
      );
  }

  async #store(instance: Instance): Promise<void> {
    this.#waiting.delete(instance);
    // What fails from then on is counted by the reception itself.
    let isCounted = false;
    try {
      this.stored.push(
        await this.#written(instance, () => {
          isCounted = true;
        }),
      );
    } catch (thrown) {
      this.#fail(thrown, instance.json, isCounted);
    }
    for (const piece of instance.dataSet.pieces) {
      if (Buffer.isBuffer(piece)) continue;
      const awaited = this.#awaited.get(this.#resolved(piece.uri));
      awaited?.users.delete(instance);
      if (awaited?.users.size === 0) await awaited.value.spooled?.release();
    }
  }

  async #written({ json, dataSet }: Instance, finishing: () => void): Promise<StoredPart> {
    const { sopClassUid, sopInstanceUid } = json;
    const bulkOf = (uri: string): BulkValue => this.#awaited.get(this.#resolved(uri))!.value;
    let transferSyntaxUid = EXPLICIT_LE;
    for (const piece of dataSet.pieces) {
      if (Buffer.isBuffer(piece)) continue;
      const value = bulkOf(piece.uri);
      if (value.failure) throw value.failure;
      if (piece.atRoot && piece.tag === PIXEL_DATA)
        transferSyntaxUid = await pixelSyntax(value, json.transferSyntaxUid, json.frames);
    }
    const object = await this.#parts.reception.begin({ sopClassUid, sopInstanceUid, transferSyntaxUid });
    try {
      for (const piece of dataSet.pieces)
        if (Buffer.isBuffer(piece)) await object.write(piece);
        else
          for await (const chunk of writeBulk(piece, bulkOf(piece.uri), transferSyntaxUid))
            await object.write(chunk);
    } catch (thrown) {
      await object.abort();
      throw thrown;
    }
    finishing();
    const { studyUid, seriesUid } = await object.finish();
    const warning = dataSet.rounded ? { warning: WARNING.coercion } : {};
    return { sopClassUid, sopInstanceUid, studyUid, seriesUid, ...warning };
  }

  #fail(
    thrown: unknown,
    of: { sopClassUid?: string | undefined; sopInstanceUid?: string | undefined },
    isCounted = false,
  ): void {
    if (!isCounted) this.#parts.reception.refused();
    this.failed.push(failedPart(thrown, of));
  }

  #resolved(uri: string): string {
    return URL.parse(uri, `${this.#parts.base}/`)?.href ?? uri;
  }

  /** A frame may come under its own address below the value's (PS3.18 10.4.3.3). */
  #wanted(uri: string): string | undefined {
    return [uri, uri.replace(/\/frames\/\d+$/, '')].find((one) => this.#awaited.has(one));
  }
}

function strangerFault(location: string | undefined, uri: string | undefined): string {
  if (location === undefined) return 'A bulk data part has no Content-Location';
  if (uri !== undefined) return 'A bulk data part has the Content-Location of one that came before';
  return 'A bulk data part has a Content-Location that no BulkDataURI of the metadata names';
}

/** The instances of the first part. @throws Failure 'invalid' | 'too-large' | 'unavailable' */
async function metadataOf(part: Part, budget: ByteBudget, releases: (() => void)[]): Promise<unknown[]> {
  const media = parseMediaType(part.headers.get('content-type') ?? DICOM_JSON);
  // Some clients say plain JSON; it is read as what the request says it is.
  if (media?.type !== DICOM_JSON && media?.type !== 'application/json')
    throw new Failure('invalid', `The first part is not ${DICOM_JSON} by its own Content-Type`);
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const chunk of part.body) {
    length += chunk.length;
    if (length > MAX_METADATA_BYTES)
      throw new Failure(
        'too-large',
        `The metadata of one request is longer than ${MAX_METADATA_BYTES} bytes`,
      );
    releases.push(budget.take(chunk.length));
    pieces.push(chunk);
  }
  checkLength(part.headers.get('content-length'), length);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(pieces)));
  } catch {
    // The parser's own words quote the text, which is patient data.
    throw new Failure('invalid', 'The metadata is no JSON in UTF-8 (PS3.18 F.2)');
  }
  const instances = Array.isArray(json) ? json : [json];
  if (instances.length > MAX_PARTS)
    throw new Failure('too-large', `The request holds more than ${MAX_PARTS} instances`);
  return instances;
}

/** @throws Failure 'invalid' | 'mismatch' naming the attribute */
function identityOf(json: unknown, study: string | undefined): Identity {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new Failure('invalid', 'An instance of the metadata is no JSON object (PS3.18 F.2.1)');
  const { sopClassUid, sopInstanceUid } = uidsOf(json);
  for (const [uid, attribute] of [
    [sopClassUid, '(0008,0016) SOPClassUID'],
    [sopInstanceUid, '(0008,0018) SOPInstanceUID'],
  ] as const)
    if (uid === undefined)
      throw new Failure('invalid', `The metadata of an instance has no UID in ${attribute}`, { attribute });
  if (study !== undefined && firstValue(json, STUDY_INSTANCE_UID) !== study)
    throw new Failure(
      'mismatch',
      'The (0020,000D) StudyInstanceUID of the metadata is not the one in the URL',
    );
  const transferSyntaxUid = firstValue(json, '00020010');
  const pixels = elementOf(json, PIXEL_DATA);
  checkSyntax(transferSyntaxUid, pixels !== undefined && pixels.BulkDataURI === undefined);
  return {
    sopClassUid: sopClassUid!,
    sopInstanceUid: sopInstanceUid!,
    transferSyntaxUid,
    frames: Number(firstValue(json, '00280008') ?? 1),
  };
}

function uidsOf(json: unknown): { sopClassUid?: string; sopInstanceUid?: string } {
  const sopClassUid = firstValue(json, SOP_CLASS_UID);
  const sopInstanceUid = firstValue(json, SOP_INSTANCE_UID);
  return {
    ...(sopClassUid !== undefined && isUid(sopClassUid) && { sopClassUid }),
    ...(sopInstanceUid !== undefined && isUid(sopInstanceUid) && { sopInstanceUid }),
  };
}

function firstValue(json: unknown, tag: string): string | undefined {
  const values: unknown = elementOf(json, tag)?.Value;
  const value: unknown = Array.isArray(values) ? values[0] : undefined;
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}

/** Of what a client sent, which may be anything. */
function elementOf(json: unknown, tag: string): Partial<Record<string, unknown>> | undefined {
  if (typeof json !== 'object' || json === null) return undefined;
  const object = json as Record<string, unknown>;
  const element = object[tag] ?? object[tag.toLowerCase()];
  return typeof element === 'object' && element !== null ? (element as Record<string, unknown>) : undefined;
}
