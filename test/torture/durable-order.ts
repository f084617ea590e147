/**
 * Judges a trace by the promises a power cut puts to the test: what a Success needs to have been synced before it is
 * sent, and what the end of a journal segment needs to have been synced before it is reused. Findings in words.
 */
import { dirname } from 'node:path';
import { RECORD_HEADER_BYTES, type RecordMeta } from '../../src/archive/intake/record.ts';
import type { Deeds, FileWrite, Named } from './system-calls.ts';

interface JournalEntry {
  path: string;
  from: number;
  to: number;
  meta: RecordMeta;
  bodyLength: number;
  /** Of the write that made it a record. */
  written: FileWrite;
}

const isSegment = (path: string): boolean => path.endsWith('.seg');

/** The records whose headers went into segments, in order. */
export function journalEntries({ writes }: Deeds): JournalEntry[] {
  return writes.flatMap((written) => {
    const at = isSegment(written.path) ? written.bytes.indexOf('ISOREC2\n') : -1;
    if (at < 0 || at % 512 !== 0) return [];
    const header = written.bytes.subarray(at, at + RECORD_HEADER_BYTES);
    const metaLength = header.readUInt32LE(64);
    const meta = JSON.parse(header.toString('utf8', 80, 80 + metaLength)) as RecordMeta;
    const bodyLength = Number(header.readBigUInt64LE(24));
    const from = written.from + at;
    const inSegment = meta.external === undefined ? bodyLength : 0;
    const to = from + RECORD_HEADER_BYTES + inSegment;
    return [{ path: written.path, from, to, meta, bodyLength, written }];
  });
}

/** Why the Success that began to be sent at `answered` was too early; nothing when it was not. */
export function beforeSuccess(deeds: Deeds, sop: string, answered: number): string[] {
  const entry = journalEntries(deeds).findLast(
    ({ meta, written }) => meta.sopInstanceUid === sop && written.begin < answered,
  );
  if (!entry) return [`${sop}: no record of it was written before its Success`];
  const { path, from, to, meta, bodyLength } = entry;
  const findings = durable(deeds, { path, from, to }, useOf(deeds, entry), answered);
  findings.push(...namedDurably(deeds, path, answered));
  if (meta.external !== undefined) {
    const spill = `${dirname(path)}/${meta.external}`;
    findings.push(...durable(deeds, { path: spill, from: 0, to: bodyLength }, 0, answered));
    findings.push(...namedDurably(deeds, spill, answered));
  }
  return findings.map((finding) => `${sop}: ${finding}`);
}

/**
 * Segments are overwritten or removed, and spill files removed, only after all they held is durable in the store;
 * and no record goes into a segment before its new nonce is on the disk.
 */
export function beforeReuse(deeds: Deeds): { ends: number; findings: string[] } {
  const entries = journalEntries(deeds);
  const findings: string[] = [];
  let ends = 0;
  const heads = deeds.writes.filter((write) => isSegment(write.path) && write.from === 0);
  for (const end of [...heads, ...deeds.removed].filter(({ path }) => isSegment(path))) {
    const held = entries.filter(
      (entry) =>
        entry.path === end.path &&
        entry.written.begin < end.begin &&
        useOf(deeds, entry) === useBegin(heads, end.path, end.begin),
    );
    if (held.length > 0) ends++;
    for (const { meta } of held) findings.push(...inStore(deeds, meta.sopInstanceUid, end.begin));
  }
  for (const { path, begin } of deeds.removed.filter((removed) => removed.path.endsWith('.obj')))
    for (const { meta } of entries.filter(
      (entry) => `${dirname(entry.path)}/${entry.meta.external}` === path,
    ))
      findings.push(...inStore(deeds, meta.sopInstanceUid, begin));
  for (const head of heads.filter(({ bytes }) => bytes.indexOf('ISOSEG2\n') === 0)) {
    const next = deeds.writes.find((write) => write.path === head.path && write.begin > head.end);
    if (next && !syncedBetween(deeds, head.path, head.end, next.begin))
      findings.push(`${head.path}: written to before its new header was synced`);
  }
  return { ends, findings };
}

/** Where this use of the segment began: the last write of its header before the record. */
function useOf(deeds: Deeds, { path, written }: JournalEntry): number {
  const heads = deeds.writes.filter((write) => write.path === path && write.from === 0);
  return useBegin(heads, path, written.begin);
}

function useBegin(heads: FileWrite[], path: string, before: number): number {
  return heads.findLast((head) => head.path === path && head.begin < before)?.begin ?? 0;
}

/** Every byte of the stretch was written since `since`, and synced after that and before `deadline`. */
function durable(
  deeds: Deeds,
  { path, from, to }: { path: string; from: number; to: number },
  since: number,
  deadline: number,
): string[] {
  const writes = deeds.writes
    .filter((write) => write.path === path && write.begin >= since && write.begin < deadline)
    .filter((write) => write.from < to && write.to > from)
    .sort((a, b) => a.from - b.from);
  let covered = from;
  for (const write of writes) if (write.from <= covered) covered = Math.max(covered, write.to);
  const findings: string[] = [];
  if (covered < to) findings.push(`bytes ${covered} to ${to} of ${path} were never written`);
  if (writes.some(({ end }) => !syncedBetween(deeds, path, end, deadline)))
    findings.push(`${path} was written and not synced in time`);
  return findings;
}

/** The name is in its folder for good, and so is each folder above it that this run made. */
function namedDurably(deeds: Deeds, path: string, deadline: number): string[] {
  const names = [
    deeds.made.findLast((made) => made.path === path && made.begin < deadline),
    ...deeds.folders.filter((folder) => path.startsWith(`${folder.path}/`) && folder.begin < deadline),
  ].filter((name): name is Named => name !== undefined);
  return names
    .filter((name) => !syncedBetween(deeds, dirname(name.path), name.end, deadline))
    .map((name) => `the folder of ${name.path} was not synced in time`);
}

function inStore(deeds: Deeds, sop: string, deadline: number): string[] {
  const file = deeds.made.findLast(
    ({ path, begin }) => path.includes(`/objects/`) && path.includes(`/${sop}_`) && begin < deadline,
  );
  if (!file) return [`${sop}: its journal was reused before it was in the store`];
  const findings = namedDurably(deeds, file.path, deadline);
  if (!syncedBetween(deeds, file.path, file.end, deadline))
    findings.push(`${file.path} was not synced before the journal was reused`);
  return findings.map((finding) => `${sop}: ${finding}`);
}

function syncedBetween(deeds: Deeds, path: string, after: number, deadline: number): boolean {
  return deeds.syncs.some((sync) => sync.path === path && sync.begin > after && sync.end < deadline);
}
