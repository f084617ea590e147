/**
 * WADO-RS of whole instances (PS3.18 10.4.1.1.1).
 * Instances leave as they are stored wherever the client takes that; what DICOMweb bars (Implicit VR, Big Endian) is
 * converted value for value by transform/explicit-little-endian.ts on its way out, and compressed pixels are decoded by
 * archive/decoded-object.ts for who asks for Explicit VR Little Endian. Bytes come from archive/read-object.ts.
 */
import type { Context } from 'koa';
import { canBeDecoded, decodedObject } from '../archive/decoded-object.ts';
import { countByTransferSyntax, eachStoredObject } from '../archive/each-stored-object.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { findStudy } from '../archive/study.ts';
import { buildFileMeta } from '../dicom/part10.ts';
import { EXPLICIT_LE } from '../dicom/transfer-syntax.ts';
import { Failure } from '../failure.ts';
import { ExplicitLittleEndianConversion } from '../transform/explicit-little-endian.ts';
import {
  acceptedBy,
  disclose,
  isUnchanged,
  type RetrieveParts,
  serviceUrl,
  stream,
  type Target,
  targetOf,
} from './answer.ts';
import { type FrameParts, ofObject } from './frame-bytes.ts';
import { type OutgoingPart, writeMultipart } from './multipart-writer.ts';
import { chooseDicom, type DicomForm, type InstanceWay, instanceWay } from './negotiate.ts';
import { openedAhead } from './opened-ahead.ts';

type Params = { params: Record<string, string | undefined> };

/** GET of a study, series or instance as DICOM. */
export function retrieveInstances(parts: FrameParts) {
  return async (ctx: Context & Params): Promise<void> => {
    const target = targetOf(ctx);
    await answerInstances(ctx, parts, target, chooseDicom(acceptedBy(ctx), target.sopUid !== undefined));
  };
}

/** Whole instances in the form chosen. @throws Failure 'not-found', 'not-acceptable' for an object it cannot be given of */
export async function answerInstances(
  ctx: Context,
  parts: FrameParts,
  target: Target,
  form: DicomForm,
): Promise<void> {
  const counts = await countByTransferSyntax(parts.database, target);
  if (counts.size === 0) throw notFound(target);
  refuseUngivable(counts, form);
  const base = serviceUrl(ctx, parts.publicUrl);
  const object = target.sopUid === undefined ? undefined : await findOne(parts, target);
  const version = object?.contentHash ?? (await studyVersion(parts, target));
  if (isUnchanged(ctx, 'equivalent', 'instances', version, base, formKey(target, form))) return;
  const instances = [...counts.values()].reduce((sum, count) => sum + count, 0);
  await parts.reader.hasAll(target);
  await disclose(ctx, parts.disclosures, { channel: 'wado', ...target, instances });
  if (object && !form.multipart) {
    const way = wayOf(object, form);
    await stream(ctx, parts, {
      type: contentTypeOf(object, way),
      ...(way === 'as-stored' && { length: object.length }),
      bytes: fileOf(parts, object, way),
    });
    return;
  }
  const ahead = openedAhead(partsOf(parts, target, form, base), parts.buffers);
  const { contentType, body } = writeMultipart('application/dicom', ahead);
  await stream(ctx, parts, { type: contentType, bytes: body });
}

/** The instance of a path. @throws Failure 'not-found' */
export async function findOne({ finder }: RetrieveParts, target: Target): Promise<StoredObject> {
  const object = await finder.find({ ...target, sopUid: target.sopUid ?? '' });
  if (!object) throw notFound(target);
  return object;
}

export function instanceUrl(
  base: string,
  object: Pick<StoredObject, 'studyUid' | 'seriesUid' | 'sopUid'>,
): string {
  return `${base}/studies/${object.studyUid}/series/${object.seriesUid}/instances/${object.sopUid}`;
}

export function notFound(target: Target): Failure {
  const { studyUid, seriesUid, sopUid } = target;
  if (sopUid !== undefined)
    return new Failure('not-found', `There is no instance ${sopUid} in that study and series`);
  if (seriesUid !== undefined)
    return new Failure('not-found', `There is no series ${seriesUid} in that study`);
  return new Failure('not-found', `There is no study ${studyUid}`);
}

function formKey(target: Target, { multipart, syntaxes }: DicomForm): string {
  return JSON.stringify([target, multipart, [...syntaxes].sort()]);
}

function refuseUngivable(counts: ReadonlyMap<string, number>, form: DicomForm): void {
  const ungivable = [...counts.keys()].filter((stored) => instanceWay(stored, form.syntaxes) === undefined);
  if (ungivable.length === 0) return;
  throw new Failure(
    'not-acceptable',
    `What is asked for is stored with transfer syntax ${ungivable.join(', ')} and is given with that` +
      `${ungivable.every(canBeDecoded) ? ` or with ${EXPLICIT_LE}` : ''}: ` +
      'ask for application/dicom with such a transfer-syntax or with transfer-syntax=*',
  );
}

/** A study's version moves with all that it holds. */
export async function studyVersion(parts: RetrieveParts, target: Target): Promise<string> {
  const study = await findStudy(parts.database, target.studyUid);
  if (!study) throw notFound(target);
  return `${study.firstReceivedAt.getTime()} ${study.version}`;
}

async function* partsOf(
  parts: FrameParts,
  target: Target,
  form: DicomForm,
  base: string,
): AsyncGenerator<OutgoingPart> {
  for await (const object of eachStoredObject(parts.database, target)) {
    const way = wayOf(object, form);
    yield {
      contentType: contentTypeOf(object, way),
      contentLocation: instanceUrl(base, object),
      body: fileOf(parts, object, way),
    };
  }
}

function wayOf(object: StoredObject, form: DicomForm): InstanceWay {
  const way = instanceWay(object.transferSyntax, form.syntaxes);
  // An instance that came between the counting and now; the answer breaks off rather than leave it out in silence.
  if (!way)
    throw new Failure(
      'conflict',
      `${object.sopUid} came with transfer syntax ${object.transferSyntax} meanwhile`,
    );
  return way;
}

function contentTypeOf(object: StoredObject, way: InstanceWay): string {
  return `application/dicom; transfer-syntax=${way === 'as-stored' ? object.transferSyntax : EXPLICIT_LE}`;
}

async function* fileOf(
  parts: FrameParts,
  object: StoredObject,
  way: InstanceWay,
): AsyncGenerator<Uint8Array> {
  if (way === 'as-stored') {
    yield* parts.reader.read(object, undefined, parts.buffers);
    return;
  }
  if (way === 'decoded') {
    yield* ofObjectBytes(decodedObject(parts, object));
    return;
  }
  yield buildFileMeta({
    sopClassUid: object.sopClass,
    sopInstanceUid: object.sopUid,
    transferSyntaxUid: EXPLICIT_LE,
    ...(object.sourceAe !== null && { sourceAeTitle: object.sourceAe }),
  });
  const conversion = new ExplicitLittleEndianConversion(object.transferSyntax);
  const range = { offset: object.dataSetOffset, length: object.length - object.dataSetOffset };
  for await (const chunk of parts.reader.read(object, range)) yield* conversion.push(chunk);
  yield* conversion.end();
}

/** As ofObject, for bytes that are still being made. */
async function* ofObjectBytes(bytes: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    for (;;) {
      const next = await ofObject(() => bytes.next());
      if (next.done) return;
      yield next.value;
    }
  } finally {
    await bytes.return(undefined);
  }
}
