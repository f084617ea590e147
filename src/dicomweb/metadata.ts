/**
 * WADO-RS metadata of a study, series or instance (PS3.18 10.4.1.1.2) as DICOM JSON. The texts are kept deflated
 * (archive/series-metadata.ts): a client that takes gzip gets them as they lie, with its own addresses put between.
 */
import type { Context } from 'koa';
import { countInstances } from '../archive/each-stored-object.ts';
import type { PackReader } from '../archive/header-pack-rows.ts';
import { eachFragment } from '../archive/header-piece.ts';
import { type DescribedInstance, describeInstances, type MetadataParts } from '../archive/series-metadata.ts';
import { findLastSeries, findStudy } from '../archive/study.ts';
import { warmUp } from '../archive/warm-up.ts';
import {
  acceptedBy,
  disclose,
  isUnchanged,
  type RetrieveParts,
  serviceUrl,
  stream,
  targetOf,
} from './answer.ts';
import { GzipStream, inflateBlocks } from './gzip-stream.ts';
import { chooseJson } from './negotiate.ts';
import { instanceUrl, notFound, studyVersion } from './retrieve.ts';

const OPENING = Buffer.from('[');
const SEPARATOR = Buffer.from(',\n');
const CLOSING = Buffer.from(']');
/** Sent, or inflated, at once. */
const BATCH_BYTES = 256 * 1024;
/** Made-up answers after which nothing more is compiled. */
const WARM_ANSWERS = 20;

/** GET of …/metadata. */
export function retrieveMetadata(parts: RetrieveParts & { readonly packs: PackReader }) {
  return async (ctx: Context & { params: Record<string, string | undefined> }): Promise<void> => {
    const target = targetOf(ctx);
    const type = chooseJson(acceptedBy(ctx));
    const [{ instances, withoutPiece }, version] = await Promise.all([
      countInstances(parts.database, target),
      studyVersion(parts, target),
    ]);
    if (instances === 0) throw notFound(target);
    const base = serviceUrl(ctx, parts.publicUrl);
    ctx.vary('Accept-Encoding');
    const gzip = ctx.acceptsEncodings('gzip', 'identity') === 'gzip';
    if (isUnchanged(ctx, 'equivalent', 'metadata', version, base, JSON.stringify(target), type)) return;
    if (withoutPiece > 0) await parts.reader.hasAll(target);
    const disclosed = disclose(ctx, parts.disclosures, {
      channel: 'wado',
      ...target,
      instances,
      detail: { what: 'metadata' },
    });
    if (gzip) ctx.set('Content-Encoding', 'gzip');
    const described = describeInstances(parts, target);
    const bytes = gzip ? gzipped(described, base) : plain(described, base);
    await stream(ctx, parts, { type, bytes, disclosed });
  };
}

/**
 * At the start: opens connections, asks what is asked for each request, and sends made-up pieces to nobody, so that the
 * first who asks finds all of it compiled.
 * @param limitMs nothing more is begun after this
 */
export async function warmMetadata(parts: MetadataParts, limitMs: number): Promise<void> {
  const until = performance.now() + limitMs;
  const nobody = { studyUid: '0', seriesUid: '0', sopUid: '0' };
  // After a restart the series that came last is asked for first: its rows are in Postgres' memory then.
  const series = (await findLastSeries(parts.database)) ?? nobody;
  // On each of some connections: what one of them has looked up in Postgres' catalogs, the others have not.
  const ask = async (): Promise<void> => {
    await countInstances(parts.database, series);
    await findStudy(parts.database, series.studyUid);
    for await (const _ of describeInstances(parts, series)) if (performance.now() > until) return;
  };
  await parts.packs.keepLast();
  for (let n = 0; n < 2; n++) await Promise.all([ask(), ask(), ask()]);
  const pieces = await warmUp(limitMs);
  async function* instances() {
    for (const piece of pieces) yield { ...nobody, piece };
  }
  for (let n = 0; n < WARM_ANSWERS && performance.now() < until; n++) {
    for await (const _ of gzipped(instances(), 'http://localhost'));
    await new Promise(setImmediate);
  }
}

async function* gzipped(
  described: AsyncIterable<DescribedInstance>,
  base: string,
): AsyncGenerator<Uint8Array> {
  const out = new GzipStream();
  const blocks = batches(described, base, out);
  try {
    // While it is gathered, the disclosure is written down.
    const first = await blocks.next();
    yield out.header;
    if (!first.done) yield first.value;
    yield* blocks;
    yield out.end();
  } finally {
    await blocks.return(undefined);
  }
}

async function* plain(described: AsyncIterable<DescribedInstance>, base: string): AsyncGenerator<Uint8Array> {
  let before: Promise<Buffer> | undefined;
  for await (const blocks of batches(described, base, new GzipStream())) {
    const text = inflateBlocks(blocks);
    // Whoever awaits it sees the failure; until then it must not count as unhandled.
    text.catch(() => undefined);
    if (before) yield await before;
    before = text;
  }
  if (before) yield await before;
}

/** The whole list as deflate blocks, a batch at a time. */
async function* batches(
  described: AsyncIterable<DescribedInstance>,
  base: string,
  out: GzipStream,
): AsyncGenerator<Buffer> {
  let before = OPENING;
  for await (const instance of described) {
    const { piece } = instance;
    const address = Buffer.from(instanceUrl(base, instance));
    out.text(before);
    eachFragment(piece, (from, to, crc32, length, n) => {
      if (n > 0) out.text(address);
      out.deflated(piece, from, to, crc32, length);
    });
    before = SEPARATOR;
    if (out.gathered >= BATCH_BYTES) yield out.take();
  }
  if (before === OPENING) out.text(OPENING);
  out.text(CLOSING);
  yield out.take();
}
