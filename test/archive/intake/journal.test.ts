/** The journal and its writer alone: what lies on the disk after each way an object can end. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createBudget, type JournalBudget } from '../../../src/archive/intake/budget.ts';
import {
  createJournal,
  isFreeSegment,
  type Journal,
  type JournalNews,
} from '../../../src/archive/intake/journal.ts';
import { beginObject, type ObjectWriter } from '../../../src/archive/intake/object-writer.ts';
import { contentHash, type Provenance } from '../../../src/archive/intake/record.ts';
import { type JournalRecord, readBody, SegmentReader } from '../../../src/archive/intake/segment-reader.ts';
import { type AnObject, anObject, aSeries } from '../../support/an-object.ts';

const from: Provenance = { reception: 'r', kind: 'dimse', callingAe: 'CT', openedAt: '2026-01-01T00:00:00Z' };
const STEP = 32 * 1024 * 1024;

let folder: string;
let news: JournalNews[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'isocenter-journal-'));
  news = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function journal(
  segmentBytes = 64 * 1024,
  limitBytes = 2 ** 40,
): { journal: Journal; budget: JournalBudget } {
  const budget = createBudget({ counter: new SharedArrayBuffer(8), limitBytes, reserveBytes: 0, folder });
  return {
    budget,
    journal: createJournal({
      folder: join(folder, 'j'),
      budget,
      segmentBytes,
      tell: (told) => news.push(told),
    }),
  };
}

function write(writer: ObjectWriter, object: AnObject, piece = 1000): void {
  for (let at = 0; at < object.dataSet.length; at += piece)
    writer.write(object.dataSet.subarray(at, at + piece));
}

function records(file: string): JournalRecord[] {
  const reader = SegmentReader.open(file);
  if (!(reader instanceof SegmentReader)) throw new Error(`the segment is ${reader}`);
  const found: JournalRecord[] = [];
  for (let next = reader.next(); next; next = reader.next()) {
    if ('gap' in next) throw new Error('a gap');
    found.push(next.record);
  }
  reader.close();
  return found;
}

function body(record: JournalRecord): Buffer {
  const pieces: Buffer[] = [];
  for (const piece of readBody(record.body, 777)) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}
/** Of the data set that lies there, so that a difference of many bytes is shown as one line. */
const hash = (record: JournalRecord): string =>
  contentHash(record.header.meta.transferSyntaxUid)
    .update(body(record).subarray(record.header.meta.dataSetOffset))
    .digest('hex');
const hashes = (objects: AnObject[]): string[] => objects.map((object) => object.contentHash);
const spills = (): string[] => readdirSync(join(folder, 'j')).filter((name) => name.endsWith('.obj'));
const segments = (): string[] => [...new Set(news.map(({ path }) => path))];

describe('an object in the journal', () => {
  it('comes back byte for byte, with who brought it, behind a File Meta of its own', () => {
    const { journal: j, budget } = journal();
    const object = anObject({ pixelBytes: 20_000 });
    const writer = beginObject(j, budget, object.declared, from);
    write(writer, object);
    const durable = writer.finish();
    const [record, ...others] = records(durable.segment);
    expect(others).toEqual([]);
    expect(hash(record!)).toBe(object.contentHash);
    expect(record!.header.contentHash.toString('hex')).toBe(object.contentHash);
    expect(record!.header.meta).toMatchObject({
      sopInstanceUid: object.sop,
      studyInstanceUid: object.study,
      from,
    });
    expect(body(record!).toString('latin1', 128, 132)).toBe('DICM');
    expect(record!.end).toBe(durable.end);
    expect(news.at(-1)).toMatchObject({ path: durable.segment, end: durable.end, sealed: false });
  });

  it('that is dropped leaves nothing, and the next takes its place', () => {
    const { journal: j, budget } = journal();
    const dropped = beginObject(j, budget, anObject().declared, from);
    dropped.write(Buffer.alloc(30_000, 7));
    dropped.abort();
    dropped.abort();
    const object = anObject();
    const writer = beginObject(j, budget, object.declared, from);
    write(writer, object);
    const durable = writer.finish();
    expect(segments()).toEqual([durable.segment]);
    expect(records(durable.segment).map(hash)).toEqual([object.contentHash]);
  });

  it('that is finished or dropped takes no more: its place may be another one’s', () => {
    const { journal: j, budget } = journal();
    const object = anObject();
    const writer = beginObject(j, budget, object.declared, from);
    write(writer, object);
    const durable = writer.finish();
    expect(() => writer.write(Buffer.alloc(10))).toThrow(/finished or dropped/);
    expect(() => writer.finish()).toThrow(/finished or dropped/);
    writer.abort();
    expect(records(durable.segment)).toHaveLength(1);
  });

  it('many follow each other through several segments', () => {
    const { journal: j, budget } = journal(32 * 1024);
    const objects = Array.from({ length: 20 }, (_, n) => anObject({ pixelBytes: 5000, pixels: n }));
    for (const object of objects) {
      const writer = beginObject(j, budget, object.declared, from);
      write(writer, object, 4096);
      writer.finish();
    }
    j.close();
    expect(segments().length).toBe(5);
    expect(spills()).toEqual([]);
    expect(segments().flatMap(records).map(hash)).toEqual(hashes(objects));
    expect(budget.held()).toBe(segments().length * 32 * 1024);
    for (const file of segments())
      expect(news.filter((told) => told.path === file).at(-1)!.sealed).toBe(true);
  });

  it('that fills its segment to the last byte stays in it, one byte more spills', () => {
    // 512 of the segment, 2048 of the record; the rest is File Meta and data set.
    const probe = anObject({ pixelBytes: 0 });
    const { journal: first, budget: firstBudget } = journal(1024 * 1024);
    const writer = beginObject(first, firstBudget, probe.declared, from);
    write(writer, probe);
    writer.finish();
    const [record] = records(segments()[0]!);
    const fileMeta = record!.header.meta.dataSetOffset;
    for (const more of [0, 2]) {
      news = [];
      const { journal: j, budget } = journal(64 * 1024);
      const pixelBytes = 64 * 1024 - 512 - 2048 - fileMeta - probe.dataSet.length + more;
      const { sop, study, series } = probe;
      const object = anObject({ sop, study, series, pixelBytes });
      const next = beginObject(j, budget, object.declared, from);
      write(next, object, 5000);
      const durable = next.finish();
      expect(spills().length, `${more} bytes more`).toBe(more === 0 ? 0 : 1);
      if (more === 0) expect(durable.end).toBe(64 * 1024);
      expect(hash(records(durable.segment)[0]!)).toBe(object.contentHash);
      for (const name of spills()) rmSync(join(folder, 'j', name));
    }
  });
});

describe('an object larger than a segment', () => {
  it('goes to a file of its own, and its record stays with the others', () => {
    const { journal: j, budget } = journal(64 * 1024);
    const small = anObject();
    const large = anObject({ pixelBytes: 600_000 });
    const after = anObject();
    for (const object of [small, large, after]) {
      const writer = beginObject(j, budget, object.declared, from);
      write(writer, object, 10_000);
      writer.finish();
    }
    const found = segments().flatMap(records);
    expect(found.map(hash)).toEqual(hashes([small, large, after]));
    expect(found.map((record) => record.body.external)).toEqual([false, true, false]);
    expect(spills()).toEqual([basename(found[1]!.body.path)]);
    expect(budget.held()).toBe(segments().length * 64 * 1024 + STEP);
  });

  it('that is dropped in the middle leaves no file and gives its room back', () => {
    const { journal: j, budget } = journal(64 * 1024);
    const writer = beginObject(j, budget, anObject().declared, from);
    for (let n = 0; n < 40; n++) writer.write(Buffer.alloc(1024 * 1024, n));
    expect(spills()).toHaveLength(1);
    expect(budget.held()).toBe(64 * 1024 + 2 * STEP);
    writer.abort();
    expect(spills()).toEqual([]);
    expect(budget.held()).toBe(64 * 1024);
  });

  it('that turns out broken at its end leaves no file and gives its room back', () => {
    const { journal: j, budget } = journal(64 * 1024);
    const object = anObject({ pixelBytes: 600_000 });
    const writer = beginObject(j, budget, object.declared, from);
    writer.write(object.dataSet.subarray(0, -10));
    expect(() => writer.finish()).toThrow(/truncated inside \(7FE0,0010\)/);
    expect(spills()).toEqual([]);
    expect(budget.held()).toBe(64 * 1024);
  });

  it('that meets the limit is refused, and small ones go on', () => {
    const { journal: j, budget } = journal(64 * 1024, 64 * 1024 + STEP);
    const large = beginObject(j, budget, anObject().declared, from);
    const fill = (): void => {
      for (let n = 0; n < 40; n++) large.write(Buffer.alloc(1024 * 1024, n));
    };
    expect(fill).toThrow(expect.objectContaining({ kind: 'no-space' }));
    // A hole in the middle: whoever asks for the end all the same must not get a Success.
    expect(() => large.finish()).toThrow(expect.objectContaining({ kind: 'no-space' }));
    expect(spills()).toEqual([]);
    const object = anObject();
    const small = beginObject(j, budget, object.declared, from);
    write(small, object);
    small.finish();
    expect(budget.held()).toBe(64 * 1024);
  });
});

describe('the room', () => {
  it('is refused at the limit and given when a segment comes back', () => {
    const { journal: j, budget } = journal(64 * 1024, 128 * 1024);
    const one = j.take();
    j.take();
    expect(() => j.take()).toThrow(expect.objectContaining({ kind: 'no-space' }));
    j.giveBack(one);
    j.take();
    expect(() => j.take()).toThrow(/JOURNAL_LIMIT/);
    j.recycle(one.path);
    budget.free(64 * 1024); // the settler's part
    j.take();
    expect(budget.held()).toBe(128 * 1024);
  });

  it('keeps the disk reserve', () => {
    const budget = createBudget({
      counter: new SharedArrayBuffer(8),
      limitBytes: 2 ** 50,
      reserveBytes: 2 ** 50,
      folder,
    });
    expect(() => budget.reserve(1)).toThrow(/DISK_RESERVE/);
    expect(budget.held()).toBe(0);
    expect(budget.shortage(1)).toContain('DISK_RESERVE');
  });

  it('of segments that many objects at once left open comes back once they are settled', () => {
    const { journal: j } = journal();
    const begun = aSeries(6).map((object) => {
      const writer = beginObject(j, createNoBudget(), object.declared, from);
      write(writer, object);
      return writer;
    });
    for (const writer of begun) writer.finish();
    const before = news.filter((told) => told.sealed).length;
    j.trim();
    expect(before).toBe(0);
    expect(news.filter((told) => told.sealed)).toHaveLength(4);
  });

  it('of segments that objects opened which were dropped comes back at once', () => {
    const { journal: j } = journal();
    const writers = Array.from({ length: 6 }, () =>
      beginObject(j, createNoBudget(), anObject().declared, from),
    );
    for (const writer of writers) writer.abort();
    expect(news.filter((told) => told.sealed)).toHaveLength(4);
  });

  it('a recycled segment never shows what it held before', () => {
    const { journal: j, budget } = journal();
    const old = anObject({ pixelBytes: 30_000 });
    const writer = beginObject(j, budget, old.declared, from);
    write(writer, old);
    const { segment } = writer.finish();
    j.close();
    j.recycle(segment);
    const taken = Array.from({ length: 3 }, () => j.take()).find(({ path }) => path === segment);
    expect(taken).toBeDefined();
    expect(records(segment)).toEqual([]);
  });
});

describe('a reader', () => {
  it('tells a segment that is free from one whose header is damaged', async () => {
    const file = join(folder, 'x.seg');
    writeFileSync(file, '');
    expect(SegmentReader.open(file)).toBe('free');
    writeFileSync(file, Buffer.alloc(4096));
    expect(SegmentReader.open(file)).toBe('free');
    writeFileSync(file, Buffer.alloc(4096, 1));
    expect(SegmentReader.open(file)).toBe('damaged');
  });

  it('reads a segment whose header the disk gives as zeros by what its records say', () => {
    const { journal: j, budget } = journal();
    const object = anObject();
    const writer = beginObject(j, budget, object.declared, from);
    write(writer, object);
    const { segment } = writer.finish();
    j.close();
    const whole = readFileSync(segment);
    writeFileSync(segment, Buffer.concat([Buffer.alloc(512), whole.subarray(512)]));
    expect(isFreeSegment(segment, whole.length)).toBe(false);
    const reader = SegmentReader.open(segment);
    if (!(reader instanceof SegmentReader)) throw new Error(`it is ${reader}`);
    const found = reader.next();
    expect(found && 'record' in found && found.record.header.meta.sopInstanceUid).toBe(object.sop);
    // Once it is settled, its records are nobody's.
    reader.release();
    expect(isFreeSegment(segment, whole.length)).toBe(true);
    expect(SegmentReader.open(segment)).toBe('free');
  });

  it('finds the records behind one whose header is damaged, and says what is missing', async () => {
    const { journal: j, budget } = journal();
    const objects = [anObject(), anObject(), anObject()];
    for (const object of objects) {
      const writer = beginObject(j, budget, object.declared, from);
      write(writer, object);
      writer.finish();
    }
    const [file] = segments();
    const [, second, third] = records(file!);
    const handle = await open(file!, 'r+');
    await handle.write(Buffer.alloc(512), 0, 512, second!.start);
    await handle.close();
    const reader = SegmentReader.open(file!) as SegmentReader;
    const kinds: unknown[] = [];
    for (let next = reader.next(); next; next = reader.next())
      kinds.push('gap' in next ? next.gap : next.record.header.meta.sopInstanceUid);
    reader.close();
    expect(kinds).toEqual([
      objects[0]!.sop,
      { path: file, start: second!.start, end: third!.start },
      objects[2]!.sop,
    ]);
  });

  it('holds bytes a sender made to look like a record for what they are', () => {
    const { journal: j, budget } = journal();
    const first = anObject();
    const writer = beginObject(j, budget, first.declared, from);
    write(writer, first);
    const { segment } = writer.finish();
    // The whole segment so far, headers and nonce included, sent to us as pixels and then dropped.
    const forged = readFileSync(segment).subarray(0, 8192);
    const thief = beginObject(j, budget, anObject().declared, from);
    for (let shift = 0; shift < 512; shift += 2) thief.write(Buffer.concat([Buffer.alloc(shift), forged]));
    thief.abort();
    const object = anObject();
    const next = beginObject(j, budget, object.declared, from);
    write(next, object);
    const durable = next.finish();
    if (durable.segment === segment) expect(records(segment).map(hash)).toEqual(hashes([first, object]));
    expect(statSync(segment).size).toBeGreaterThan(0);
  });
});

function createNoBudget(): JournalBudget {
  return createBudget({
    counter: new SharedArrayBuffer(8),
    limitBytes: 2 ** 50,
    reserveBytes: 0,
    folder,
  });
}
