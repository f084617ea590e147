/**
 * WADO-RS of whole instances (PS3.18 10.4.1.1.1).
 * Instances leave as they are stored wherever the client takes that; what DICOMweb bars (Implicit VR, Big Endian) is
 * converted value for value by transform/explicit-little-endian.ts on its way out, and compressed pixels are decoded by
 * archive/decoded-object.ts for who asks for Explicit VR Little Endian. Bytes come from archive/read-object.ts.
 */
import type { Context } from 'koa';
import { decodedObject } from '../archive/decoded-object.ts';
import { countByTransferSyntax, eachStoredObject } from '../archive/each-stored-object.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { findStudy } from '../archive/study.ts';
import { buildFileMeta } from '../dicom/part10.ts';
import { EXPLICIT_LE } from '../dicom/transfer-syntax.ts';
import { Failure, type FailureKind } from '../failure.ts';
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
import { begun, type OutgoingPart, writeMultipart } from './multipart-writer.ts';
import { chooseDicom, type DicomForm, givenSyntaxes, type InstanceWay, instanceWay } from './negotiate.ts';
import { openedAhead } from './opened-ahead.ts';

type Params = { params: Record<string, string | undefined> };

/** GET of a study, series or instance as DICOM. */
export function retrieveInstances(parts: FrameParts) {
  return async (ctx: Context & Params): Promise<void> => {
    const target = targetOf(ctx);
    await answerInstances(ctx, parts, target, chooseDicom(acceptedBy(ctx), target.sopUid !== undefined));
  };
}

/**
 * Whole instances in the form chosen. Where some cannot be given in any transfer syntax that is asked for: 206 without
 * them, and how many they are in a Warning (PS3.18 10.4.3).
 * @throws Failure 'not-found', 'not-acceptable' when none can
 */
export async function answerInstances(
  ctx: Context,
  parts: FrameParts,
  target: Target,
  form: DicomForm,
): Promise<void> {
  const [counts, object, version] = await Promise.all([
    countByTransferSyntax(parts.database, target),
    target.sopUid === undefined ? undefined : findOne(parts, target),
    target.sopUid === undefined ? studyVersion(parts, target) : '',
  ]);
  if (counts.size === 0) throw notFound(target);
  const leftOut = ungivable(counts, form);
  const base = serviceUrl(ctx, parts.publicUrl);
  const validator = object?.contentHash ?? version;
  if (isUnchanged(ctx, 'equivalent', 'instances', validator, base, formKey(target, form))) return;
  await parts.reader.hasAll(target);
  const instances = countOf(counts) - countOf(leftOut);
  await disclose(ctx, parts.disclosures, { channel: 'wado', ...target, instances });
  if (object && !form.multipart) {
    const { contentType, body, length } = await begun(partOf(parts, object, { form, base }));
    await stream(ctx, parts, {
      type: contentType,
      ...(length !== undefined && { length }),
      bytes: body,
    });
    return;
  }
  const isPartial = leftOut.size > 0;
  if (isPartial)
    ctx.append('Warning', `299 ${base}: ${countOf(leftOut)} instances are left out, being ${wayTo(leftOut)}`);
  const ahead = openedAhead(partsOf(parts, target, { form, leftOut, base }), parts.buffers);
  const { contentType, body } = writeMultipart('application/dicom', ahead);
  await stream(ctx, parts, { type: contentType, bytes: body, isPartial });
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

function formKey(target: Target, { multipart, syntaxes, orAsStored }: DicomForm): string {
  return JSON.stringify([target, multipart, orAsStored, [...syntaxes].sort()]);
}

/** How many instances, by stored transfer syntax. */
type Counts = ReadonlyMap<string, number>;

const countOf = (counts: Counts): number => [...counts.values()].reduce((sum, count) => sum + count, 0);

/** Those that there is no way to give of in this form. @throws Failure 'not-acceptable' when it is all of them */
function ungivable(counts: Counts, form: DicomForm): Counts {
  const found = new Map([...counts].filter(([stored]) => instanceWay(stored, form) === undefined));
  if (found.size < counts.size) return found;
  throw new Failure('not-acceptable', `What is asked for is ${wayTo(found)}`);
}

/** In words; what is stored in several may have no syntax in common but the own of each. */
function wayTo(counts: Counts): string {
  const stored = [...counts.keys()];
  const common = givenSyntaxes(stored[0]!).filter((one) =>
    stored.every((other) => givenSyntaxes(other).includes(one)),
  );
  return (
    `stored in transfer syntax ${stored.join(', ')} and given in ${common.join(' or ') || 'that alone'}: ask for ` +
    `application/dicom with ${common.length > 0 ? 'such a transfer-syntax or with ' : ''}transfer-syntax=*`
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
  { form, leftOut, base }: { form: DicomForm; leftOut: Counts; base: string },
): AsyncGenerator<OutgoingPart> {
  for await (const object of eachStoredObject(parts.database, target))
    if (!leftOut.has(object.transferSyntax)) yield partOf(parts, object, { form, base });
}

/** What is wrong with the object itself, or is too much for the form: to be asked again would not help. */
const OF_THE_OBJECT: ReadonlySet<FailureKind> = new Set(['not-acceptable', 'unsupported', 'too-large']);

function partOf(
  parts: FrameParts,
  object: StoredObject,
  { form, base }: { form: DicomForm; base: string },
  way = wayOf(object, form),
): OutgoingPart {
  return {
    contentType: `application/dicom; transfer-syntax=${way === 'as-stored' ? object.transferSyntax : EXPLICIT_LE}`,
    contentLocation: instanceUrl(base, object),
    body: fileOf(parts, object, way),
    ...(way === 'as-stored' && { length: object.length }),
    // What does not decode leaves as it is stored, unless the client has said that it takes no such thing.
    ...(way === 'decoded' &&
      form.orAsStored && {
        orElse: (thrown) => {
          if (!(thrown instanceof Failure) || !OF_THE_OBJECT.has(thrown.kind)) throw thrown;
          return partOf(parts, object, { form, base }, 'as-stored');
        },
      }),
  };
}

function wayOf(object: StoredObject, form: DicomForm): InstanceWay {
  const way = instanceWay(object.transferSyntax, form);
  // An instance that came between the counting and now; the answer breaks off rather than leave it out in silence.
  if (!way)
    throw new Failure(
      'conflict',
      `${object.sopUid} came with transfer syntax ${object.transferSyntax} meanwhile`,
    );
  return way;
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
