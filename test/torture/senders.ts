/**
 * Modalities and STOW clients that send without end, and the book in which stands what each was answered Success for.
 * What was sent and not answered is sent again, as a modality does. Only what makes an object is kept, never its
 * bytes, so a long run needs little memory.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { openAssociation } from '../../src/dimse/outbound-association.ts';
import { type AnObject, anObject, CT, EXPLICIT, uid } from '../support/an-object.ts';
import { fileOf, multipart, stow } from '../support/modality.ts';
import type { Chance } from './chance.ts';

/** What anObject needs to make the same bytes again. */
interface Recipe {
  study: string;
  series: string;
  sop: string;
  pixelBytes: number;
  pixels: number;
}

export interface Owed {
  sop: string;
  study: string;
  /** SHA-256 over transfer syntax, NUL and data set */
  contentHash: string;
}

export interface Book {
  /** Everything that ever left a sender, by SOP Instance UID. */
  readonly sent: Map<string, Recipe>;
  /** What was answered Success. */
  readonly owed: Map<string, Owed>;
  /** Answers that were not Success, in words: there should be none. */
  readonly refusals: string[];
  /** Successes, repeats counted. */
  acknowledgements: number;
  /** Objects that outgrew a journal segment among what is owed. */
  large: number;
}

export function openBook(): Book {
  return { sent: new Map(), owed: new Map(), refusals: [], acknowledgements: 0, large: 0 };
}

/** More than a journal segment (32 MB) holds: the object gets a file of its own. */
const LARGE = 33 * 1024 * 1024;

export interface Senders {
  /** Resolves when all have ended; they end by themselves soon after what they send to has gone. */
  stop(): Promise<void>;
}

export interface SendersOptions {
  associations: number;
  dicomPort: number;
  /** of the HTTP door, for one STOW client more; undefined for none */
  url?: string | undefined;
  book: Book;
  chance: Chance;
  /** One of the associations begins at once with an object larger than a journal segment; later ones rarely do. */
  largeFirst?: boolean;
}

export function startSenders(options: SendersOptions): Senders {
  const over = new AbortController();
  const senders = Array.from({ length: options.associations }, (_, n) =>
    modality(options, n === 0 && options.largeFirst === true, over.signal),
  );
  if (options.url !== undefined) senders.push(stowClient({ url: options.url }, options, over.signal));
  const all = Promise.all(senders);
  return {
    async stop() {
      over.abort();
      await all;
    },
  };
}

async function modality(options: SendersOptions, largeFirst: boolean, over: AbortSignal): Promise<void> {
  const { dicomPort: port, book, chance } = options;
  let large = largeFirst;
  while (!over.aborted) {
    try {
      const association = await openAssociation({
        host: '127.0.0.1',
        port,
        callingAeTitle: 'MODALITY',
        calledAeTitle: 'ISOCENTER',
        contexts: [{ abstractSyntax: CT, transferSyntaxes: [EXPLICIT] }],
      });
      const study = uid();
      const series = uid();
      if (large)
        await sendOne(association, recipe(study, series, LARGE + chance.whole(0, 3_000_000), chance), book);
      large = chance.happens(0.04);
      for (let left = chance.whole(1, 40); left > 0 && !over.aborted; left--)
        await sendOne(association, choose(study, series, book, chance), book);
      await association.release();
    } catch {
      // It was killed in the middle, or is not up yet: what was not answered is not owed. A modality tries again.
      if (!over.aborted) await sleep(20);
    }
  }
}

async function sendOne(
  association: Awaited<ReturnType<typeof openAssociation>>,
  what: Recipe,
  book: Book,
): Promise<void> {
  const object = anObject(what);
  book.sent.set(what.sop, what);
  const { status, errorComment } = await association.store(object.declared, pieces(object.dataSet));
  if (status === 0) acknowledge(object, book);
  else book.refusals.push(`0x${status.toString(16)} ${errorComment ?? ''}`);
}

async function stowClient(house: { url: string }, options: SendersOptions, over: AbortSignal): Promise<void> {
  const { book, chance } = options;
  while (!over.aborted) {
    const study = uid();
    const series = uid();
    const recipes = Array.from({ length: chance.whole(1, 6) }, () => choose(study, series, book, chance));
    for (const what of recipes) book.sent.set(what.sop, what);
    const objects = recipes.map(anObject);
    try {
      const response = await stow(house, multipart(objects.map(fileOf)));
      const answer = (await response.json()) as Record<
        string,
        { Value?: Record<string, { Value: string[] }>[] }
      >;
      // 503: durable, and not yet in the index; nothing was promised. 202 and 409 would name what was refused.
      if (response.status !== 200) {
        if (response.status !== 503) book.refusals.push(`STOW ${response.status}`);
        continue;
      }
      const stored = new Set(answer['00081199']?.Value?.map((item) => item['00081155']!.Value[0]));
      for (const object of objects) if (stored.has(object.sop)) acknowledge(object, book);
    } catch {
      if (!over.aborted) await sleep(20);
    }
  }
}

function acknowledge({ sop, study, contentHash, dataSet }: AnObject, book: Book): void {
  book.acknowledgements++;
  if (!book.owed.has(sop) && dataSet.length >= LARGE) book.large++;
  book.owed.set(sop, { sop, study, contentHash });
}

/** Mostly a new object; some that were sent before, answered or not. */
function choose(study: string, series: string, book: Book, chance: Chance): Recipe {
  if (book.sent.size > 0 && chance.happens(0.08)) {
    const known = [...book.sent.values()].slice(-200);
    const again = chance.pick(known);
    if (again.pixelBytes < LARGE || chance.happens(0.2)) return again;
  }
  const size = chance.happens(0.04)
    ? chance.whole(1_000_000, 6_000_000)
    : chance.happens(0.3)
      ? chance.whole(0, 2000)
      : chance.whole(10_000, 300_000);
  return recipe(study, series, size, chance);
}

function recipe(study: string, series: string, pixelBytes: number, chance: Chance): Recipe {
  // Even, as every value's length is (PS3.5 7.1.1).
  return { study, series, sop: uid(), pixelBytes: pixelBytes & ~1, pixels: chance.whole(0, 2 ** 31) };
}

async function* pieces(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1024 * 1024) yield bytes.subarray(at, at + 1024 * 1024);
}
