/**
 * STOW-RS (PS3.18 10.5): stores the Part 10 files of a multipart/related request; stow-json.ts does for metadata.
 * Each part's bytes go on into archive/intake as they arrive, its File Meta left out (the archive makes its own);
 * the answer waits until all of them are durable and indexed. A part that cannot be stored fails alone.
 */
import type { Context } from 'koa';
import type { Spool } from '../archive/intake/spool.ts';
import type { WebObject, WebReception } from '../archive/intake/web-reception.ts';
import type { RefusalLog } from '../archive/refusal-log.ts';
import { dicomJsonText } from '../dicom/dicom-json.ts';
import { HeaderScan, scanUid } from '../dicom/header-scan.ts';
import { type FileMeta, readFileMeta } from '../dicom/part10.ts';
import { isUid } from '../dicom/uid.ts';
import { codeOfFailure, type RequestRefusalCode } from '../dimse/refusal-code.ts';
import { statusWord } from '../dimse/status.ts';
import { asFailure, causeCodes, Failure, type FailureKind } from '../failure.ts';
import type { Log } from '../log.ts';
import { serviceUrl } from './answer.ts';
import type { ByteBudget } from './byte-budget.ts';
import { parseMediaType } from './media-type.ts';
import { checkBoundary, checkLength, type Part, parseMultipart } from './multipart-parser.ts';
import { checkUid } from './qido-query.ts';
import { answerFailure, HTTP_STATUS } from './status.ts';
import { DICOM_JSON, storeMetadata } from './stow-json.ts';
import {
  type FailedPart,
  failedPart,
  responseOf,
  type StoredPart,
  statusOf,
  warningOf,
} from './stow-response.ts';

export interface StowParts {
  readonly refusals: RefusalLog;
  readonly openReception: (from: { actor?: string; address?: string }) => Promise<WebReception>;
  readonly spool: Spool;
  /** Of the metadata of all requests together. */
  readonly metadataBudget: ByteBudget;
  readonly publicUrl: string | undefined;
  readonly log: Log;
}

const DICOM = 'application/dicom';
const SOP_CLASS_UID = '00080016';
const SOP_INSTANCE_UID = '00080018';
const STUDY_INSTANCE_UID = '0020000D';
/** Room for a preamble and any File Meta we know; readFileMeta needs it whole. */
const MAX_META_BYTES = 65_536;
/** Enough for the File Meta of nearly every writer: asked for first. */
const META_BYTES = 4096;
/** Each costs a few hundred bytes of the answer until it is sent. */
const MAX_PARTS = 50_000;

/** POST of /studies and /studies/{study}. */
export function store(parts: StowParts) {
  return async (ctx: Context & { params: Record<string, string | undefined> }): Promise<void> => {
    const study = ctx.params.study;
    if (study !== undefined) checkUid(study, STUDY_INSTANCE_UID);
    const refusal = mediaRefusal(ctx.get('Content-Type'), ctx.get('Content-Encoding'));
    if (refusal) {
      listRequest(parts.refusals, ctx, new Failure('unsupported', refusal));
      answerFailure(ctx, 415, { kind: 'unsupported', message: refusal });
      return;
    }
    const actor = ctx.state.actor as { name: string; address: string } | undefined;
    const address = actor?.address ?? ctx.ip;
    const reception = await parts.openReception({ actor: actor?.name ?? 'anonymous', address });
    try {
      const base = serviceUrl(ctx, parts.publicUrl);
      const { stored, failed } = isMetadata(ctx)
        ? await storeMetadata(bodyParts(ctx), {
            reception,
            study,
            spool: parts.spool,
            budget: parts.metadataBudget,
            base,
          })
        : await storeAll(bodyParts(ctx), reception, study);
      for (const part of failed) {
        parts.refusals.record({
          what: 'part',
          code: codeOfFailure[part.kind],
          address,
          status: part.reason,
          answer: statusWord(part.reason),
          reason: part.sentence,
          sopClassUid: part.sopClassUid,
          sopUid: part.sopInstanceUid,
          transferSyntaxUid: part.transferSyntaxUid,
          cause: part.cause,
        });
      }
      if (stored.length + failed.length === 0) throw new Failure('invalid', 'The request holds no part');
      await reception.indexed();
      answer(ctx, base, study, stored, failed);
    } catch (thrown) {
      if (!ctx.req.socket.destroyed) listRequest(parts.refusals, ctx, asFailure(thrown));
      throw thrown;
    } finally {
      // What is left of a body that could not be read is let by, so that the client gets to read the answer.
      ctx.req.resume();
      await reception.close(ctx.req.socket.destroyed ? 'aborted' : 'answered');
    }
  };
}

/** A request that is refused as a whole: what its parts brought before that is stored. */
function listRequest(refusals: RefusalLog, ctx: Context, failure: Failure): void {
  const actor = ctx.state.actor as { address: string } | undefined;
  refusals.record({
    what: 'request',
    code: codeOfRequest[failure.kind] ?? 'internal',
    address: actor?.address ?? ctx.ip,
    reason:
      failure.kind === 'internal' ? 'Something went wrong here; the log has the cause' : failure.message,
    cause: causeCodes(failure),
  });
}

const codeOfRequest: Partial<Record<FailureKind, RequestRefusalCode>> = {
  unsupported: 'media-type',
  invalid: 'malformed',
  'too-large': 'too-large',
  'no-space': 'no-space',
  unavailable: 'unavailable',
};

/** Why this form of body is not taken; undefined when it is. */
function mediaRefusal(header: string, encoding: string): string | undefined {
  if (encoding !== '' && encoding.toLowerCase() !== 'identity')
    return 'STOW-RS takes bodies without Content-Encoding';
  const media = parseMediaType(header);
  if (media?.type === DICOM) return undefined;
  if (media?.type !== 'multipart/related')
    return `STOW-RS takes multipart/related; type="${DICOM}" or type="${DICOM_JSON}", or one object as ${DICOM} (PS3.18 10.5.2)`;
  const type = (media.parameters.get('type') ?? DICOM).toLowerCase();
  if (type === DICOM || type === DICOM_JSON) return undefined;
  return `This server stores parts of ${DICOM}, and ${DICOM_JSON} with bulk data; metadata in XML is not taken`;
}

function isMetadata(ctx: Context): boolean {
  return parseMediaType(ctx.get('Content-Type'))?.parameters.get('type')?.toLowerCase() === DICOM_JSON;
}

/** The parts of the body; a body that is one DICOM file is one part. */
async function* bodyParts(ctx: Context): AsyncGenerator<Part> {
  const media = parseMediaType(ctx.get('Content-Type'))!;
  // Turning away from the body must not cut the connection, on which the answer has to leave.
  const body: AsyncIterable<Buffer> = {
    [Symbol.asyncIterator]: () => ctx.req.iterator({ destroyOnReturn: false }),
  };
  if (media.type === DICOM) yield { headers: new Map(), body };
  else yield* parseMultipart(body, checkBoundary(media.parameters.get('boundary')));
}

async function storeAll(
  incoming: AsyncIterable<Part>,
  reception: WebReception,
  study: string | undefined,
): Promise<{ stored: StoredPart[]; failed: FailedPart[] }> {
  const stored: StoredPart[] = [];
  const failed: FailedPart[] = [];
  for await (const part of incoming) {
    if (stored.length + failed.length === MAX_PARTS)
      throw new Failure(
        'too-large',
        `The request holds more than ${MAX_PARTS} parts: what came before is stored`,
      );
    const outcome = await storePart(part, reception, study);
    if ('kind' in outcome) failed.push(outcome);
    else stored.push(outcome);
  }
  return { stored, failed };
}

async function storePart(
  part: Part,
  reception: WebReception,
  study: string | undefined,
): Promise<StoredPart | FailedPart> {
  const bytes = new PartBytes(part.body);
  let meta: FileMeta | undefined;
  let object: WebObject | undefined;
  try {
    const media = parseMediaType(part.headers.get('content-type') ?? DICOM);
    if (media?.type !== DICOM) throw new Failure('invalid', `A part is not ${DICOM} by its own Content-Type`);
    const read = await readMeta(bytes);
    const { transferSyntaxUid } = read;
    // It goes into headers and presentation contexts when the object leaves; a private one is kept (PS3.5 10.2).
    if (!isUid(transferSyntaxUid))
      throw noUid('(0002,0010) TransferSyntaxUID', 'The File Meta of a part has no UID');
    meta = read;
    const { sopClassUid, sopInstanceUid } = await identityOf(bytes, meta);
    meta = { ...meta, ...(sopClassUid && { sopClassUid }), ...(sopInstanceUid && { sopInstanceUid }) };
    if (sopClassUid === undefined || !isUid(sopClassUid)) throw noUid('(0008,0016) SOPClassUID');
    if (sopInstanceUid === undefined || !isUid(sopInstanceUid)) throw noUid('(0008,0018) SOPInstanceUID');
    object = await reception.begin({ sopClassUid, sopInstanceUid, transferSyntaxUid });
    const scan = study === undefined ? undefined : new HeaderScan(transferSyntaxUid);
    for await (const chunk of bytes.rest(meta.dataSetOffset)) {
      scan?.push(chunk);
      await object.write(chunk);
    }
    checkLength(part.headers.get('content-length'), bytes.passed);
    if (scan && scanUid(scan.end(), STUDY_INSTANCE_UID) !== study)
      throw new Failure(
        'mismatch',
        'the (0020,000D) StudyInstanceUID of the object is not the one in the URL',
      );
    const { studyUid, seriesUid } = await object.finish();
    object = undefined;
    return { sopClassUid, sopInstanceUid, studyUid, seriesUid };
  } catch (thrown) {
    await object?.abort();
    // The body itself is broken or gone: no later part can be read either.
    if (bytes.failed) throw thrown;
    if (!object) reception.refused();
    return failedPart(thrown, meta ?? {});
  }
}

/** A part's bytes: the head can be looked at before everything is passed on. */
class PartBytes {
  readonly #source: AsyncIterator<Uint8Array>;
  #head: Buffer = Buffer.alloc(0);
  #done = false;
  #passed = 0;
  /** The source threw: the request is broken, not the part. */
  failed = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** At least so many first bytes, or all there are. */
  async head(length: number): Promise<Buffer> {
    while (this.#head.length < length && !this.#done) {
      const next = await this.#next();
      if (next) this.#head = Buffer.concat([this.#head, next]);
    }
    return this.#head;
  }

  get ended(): boolean {
    return this.#done;
  }

  /** Bytes that have come. */
  get passed(): number {
    return this.#passed;
  }

  /** Everything from `offset` on, once. */
  async *rest(offset: number): AsyncGenerator<Uint8Array> {
    const first = this.#head.subarray(offset);
    this.#head = Buffer.alloc(0);
    if (first.length > 0) yield first;
    while (!this.#done) {
      const next = await this.#next();
      if (next) yield next;
    }
  }

  async #next(): Promise<Uint8Array | undefined> {
    try {
      const next = await this.#source.next();
      if (!next.done) {
        this.#passed += next.value.length;
        return next.value;
      }
      this.#done = true;
      return undefined;
    } catch (thrown) {
      this.failed = true;
      throw thrown;
    }
  }
}

/** Tries with a little first, so that a part need not be large to be read at once. */
async function readMeta(bytes: PartBytes): Promise<FileMeta> {
  const head = await bytes.head(META_BYTES);
  try {
    const meta = readFileMeta(head);
    if (bytes.ended || meta.dataSetOffset < head.length) return meta;
  } catch (thrown) {
    if (bytes.ended || head.length >= MAX_META_BYTES) throw thrown;
  }
  return readFileMeta(await bytes.head(MAX_META_BYTES));
}

/**
 * The UIDs of the data set, which stand near its start: it is the object, and there are writers that change it and
 * leave the File Meta of another file before it. Those of the File Meta where the data set's are not found.
 */
async function identityOf(
  bytes: PartBytes,
  meta: FileMeta,
): Promise<{ sopClassUid: string | undefined; sopInstanceUid: string | undefined }> {
  const near = uidsIn(await bytes.head(META_BYTES), meta);
  const sopClassUid = near.sopClassUid ?? meta.sopClassUid;
  const sopInstanceUid = near.sopInstanceUid ?? meta.sopInstanceUid;
  if (sopClassUid !== undefined && sopInstanceUid !== undefined) return { sopClassUid, sopInstanceUid };
  const far = uidsIn(await bytes.head(MAX_META_BYTES), meta);
  return {
    sopClassUid: sopClassUid ?? far.sopClassUid,
    sopInstanceUid: sopInstanceUid ?? far.sopInstanceUid,
  };
}

function uidsIn(head: Buffer, meta: FileMeta) {
  const scan = new HeaderScan(meta.transferSyntaxUid);
  scan.push(head.subarray(meta.dataSetOffset));
  const found = scan.end();
  return {
    sopClassUid: scanUid(found, SOP_CLASS_UID),
    sopInstanceUid: scanUid(found, SOP_INSTANCE_UID),
  };
}

function noUid(
  attribute: string,
  sentence = 'Neither the File Meta nor the data set of a part has a UID',
): Failure {
  return new Failure('invalid', `${sentence} in ${attribute}`, { attribute });
}

function answer(
  ctx: Context,
  base: string,
  study: string | undefined,
  stored: readonly StoredPart[],
  failed: readonly FailedPart[],
): void {
  ctx.status = statusOf(stored, failed);
  if (ctx.status === HTTP_STATUS.unavailable) ctx.set('Retry-After', '5');
  const warning = warningOf(failed);
  if (warning !== undefined) ctx.set('Warning', warning);
  ctx.set('Cache-Control', 'no-store');
  ctx.type = 'application/dicom+json';
  ctx.body = dicomJsonText(responseOf(base, study, stored, failed));
}
