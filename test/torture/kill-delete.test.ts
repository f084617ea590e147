/**
 * kill -9 of the whole program at random moments while studies arrive as metadata and bulk data and others are deleted:
 * what was answered is all there or all gone, in the index, the keys of searches, the kept headers, the change feed and
 * on the disk; what was not answered is one or the other, never half.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { expect, it } from 'vitest';
import { eventually } from '../support/house.ts';
import { openEmbedded, type Program } from '../support/program.ts';
import { chance } from './chance.ts';
import { openLedger, pixelsOf, resourceOf, type Stored, startClients } from './deleters.ts';
import { ownProgram } from './own-program.ts';
import { limitMs, times } from './scale.ts';
import { filesIn, lasting } from './what-is-there.ts';

const KILLS = times(5, 80);
const random = chance();
const ledger = openLedger();
/** Whose bytes were looked at since they came. */
const seen = new Set<string>();

const own = ownProgram('kill-delete', { ALLOW_DELETE: '1' });

/** What was not answered is decided now, by what is there. @returns a sentence for each that is half */
async function decide(db: pg.Client): Promise<string[]> {
  const { rows } = await db.query<{ sop: string }>('select sop_uid as sop from instance');
  const there = new Set(rows.map(({ sop }) => sop));
  const findings: string[] = [];
  for (const group of ledger.unanswered.splice(0)) {
    const left = group.filter(({ sop }) => there.has(sop)).length;
    if (left !== 0 && left !== group.length)
      findings.push(`a deletion of ${group.length} instances left ${left}`);
  }
  for (const one of ledger.instances.values()) {
    const isThere = there.delete(one.sop);
    if (one.standing === 'storing' || one.standing === 'deleting') one.standing = isThere ? 'there' : 'gone';
    else if (isThere !== (one.standing === 'there')) findings.push(`${one.sop} was answered ${one.standing}`);
  }
  for (const sop of there) findings.push(`${sop} was never sent`);
  return findings;
}

/** Each finds what should not be, in words. */
const NONE = {
  'a study without instances': 'select study_uid as found from study where instance_count = 0',
  'a count that is wrong': `select study_uid as found from study s where instance_count <>
       (select count(*) from instance i join series e on e.id = i.series where e.study = s.id)
     or series_count <> (select count(*) from series e where e.study = s.id)`,
  'a series without instances': `select series_uid as found from series e
     where instance_count <> (select count(*) from instance i where i.series = e.id) or instance_count = 0`,
  'an object that is no instance’s, or not in the store': `select sop_uid as found from object o
     where location <> 'store' or role <> 'current' or not exists (select from instance i where i.object = o.id)`,
  'keys of no study, or a study without': `select coalesce(s.id, k.study)::text as found
     from study s full join study_key k on k.study = s.id where s.id is null or k.study is null`,
  'a modality of no study, or a study without': `select coalesce(s.id, m.study)::text as found
     from study s full join study_modality m on m.study = s.id where s.id is null or m.study is null`,
  'headers kept of no object': `select id::text as found from header_pack p
     where not exists (select from object o where o.pack = p.id)`,
  'an object of headers that are not kept': `select sop_uid as found from object o
     where pack is not null and not exists (select from header_pack p where p.id = o.pack)`,
  'a deletion that took nothing': 'select study_uid as found from deletion where instances < 1',
  'a deletion that is not in the audit': `select study_uid as found from change where kind = 'instance-deleted'
     group by 1 having count(*) <> (select sum(instances) from deletion d where d.study_uid = change.study_uid)`,
} as const;

async function indexFindings(db: pg.Client): Promise<string[]> {
  const findings: string[] = [];
  for (const [what, sql] of Object.entries(NONE)) {
    const { rows } = await db.query<{ found: string }>(sql);
    for (const { found } of rows.slice(0, 3)) findings.push(`${what}: ${found} (${rows.length} in all)`);
  }
  const packs = await db.query<{ id: string; bytes: Buffer }>('select id::text, bytes from header_pack');
  const pieces = await db.query<{ pack: string; at: number; length: number }>(
    'select pack::text, pack_at as at, pack_length as length from object where pack is not null',
  );
  const bytes = new Map(packs.rows.map((row) => [row.id, row.bytes]));
  for (const { pack, at, length } of pieces.rows) bytes.get(pack)?.fill(0, at, at + length);
  for (const [pack, left] of bytes)
    if (left.some((byte) => byte !== 0))
      findings.push(`the pack ${pack} holds more than its objects' headers`);
  return findings;
}

/**
 * Files in the store without a row are those that are still to be removed, and no others. (One that came again may be
 * noted for removal, too: removal.ts looks for its row.)
 */
async function storeFindings(db: pg.Client): Promise<string[]> {
  const findings: string[] = [];
  const files = new Set(filesIn(join(own.dataFolder, 'objects')));
  const { rows } = await db.query<{ key: string }>('select key from object');
  for (const { key } of rows) if (!files.delete(key)) findings.push(`a row names ${key}, which is not there`);
  const removals = await db.query<{ key: string }>('select key from removal');
  for (const { key } of removals.rows) files.delete(key);
  for (const name of await lasting(join(own.dataFolder, 'objects'), files))
    findings.push(`objects/${name} has no row`);
  for (const folder of ['tmp', 'quarantine'])
    for (const name of filesIn(join(own.dataFolder, folder))) findings.push(`${folder}/${name} is left`);
  return findings;
}

/** By the feed that programs follow: each instance stored once more than deleted where it is there, and as often where not. */
async function feedFindings(url: string): Promise<string[]> {
  const stored = new Map<string, number>();
  let next = '0-0';
  for (let more = true; more; ) {
    const page = (await (await fetch(`${url}/api/changes?since=${next}&limit=1000`)).json()) as {
      changes: { kind: string; sop: string | null }[];
      next: string;
      more: boolean;
    };
    for (const { kind, sop } of page.changes)
      if (kind === 'instance-stored' || kind === 'instance-deleted')
        stored.set(sop!, (stored.get(sop!) ?? 0) + (kind === 'instance-stored' ? 1 : -1));
    ({ next, more } = page);
  }
  return [...ledger.instances.values()]
    .filter(({ sop, standing }) => (stored.get(sop) ?? 0) !== (standing === 'there' ? 1 : 0))
    .map(
      ({ sop, standing }) =>
        `${sop} is ${standing}, and the feed says stored less deleted ${stored.get(sop)}`,
    );
}

async function answerFindings(url: string, which: Iterable<Stored>): Promise<string[]> {
  const findings: string[] = [];
  for (const one of which) {
    const resource = `${url}/dicom-web/${resourceOf(one)}`;
    const metadata = await fetch(`${resource}/metadata`);
    await metadata.arrayBuffer();
    const accept = { Accept: 'application/octet-stream' };
    const frame = await fetch(`${resource}/frames/1`, { headers: accept });
    const bytes = Buffer.from(await frame.arrayBuffer());
    const isThere = metadata.status === 200 && frame.status === 200 && bytes.equals(pixelsOf(one));
    // What was never indexed was not deleted either: 404.
    const isGone = [404, 410].includes(metadata.status) && metadata.status === frame.status;
    if (one.standing === 'there' ? !isThere : !isGone)
      findings.push(`${one.sop} is ${one.standing}: /metadata ${metadata.status}, /frames/1 ${frame.status}`);
  }
  return findings;
}

async function look(program: Program): Promise<void> {
  const db = await openEmbedded(own.dataFolder);
  try {
    expect(await decide(db)).toEqual([]);
    expect(await indexFindings(db)).toEqual([]);
    expect(await storeFindings(db)).toEqual([]);
  } finally {
    await db.end();
  }
  expect(await feedFindings(program.url)).toEqual([]);
  const news = [...ledger.instances.values()].filter(({ sop, standing }) => !seen.has(`${sop} ${standing}`));
  expect(await answerFindings(program.url, news)).toEqual([]);
  for (const { sop, standing } of news) seen.add(`${sop} ${standing}`);
}

it(
  `killed ${KILLS} times, everything answered is all there or all gone`,
  async () => {
    process.stdout.write(`kill-delete: TORTURE_SEED=${random.seed}\n`);
    for (let kill = 1; kill <= KILLS; kill++) {
      const program = await own.start();
      try {
        await look(program);
        const before = ledger.answers.deleted;
        const clients = startClients(program.url, ledger, random);
        for (const until = Date.now() + 30_000; ledger.answers.deleted === before; await sleep(2))
          if (Date.now() > until) throw new Error(`nothing is deleted:\n${program.child.output()}`);
        await sleep(random.whole(0, 1500));
        program.child.signal('SIGKILL');
        await program.child.exited;
        await clients.stop();
      } catch (cause) {
        throw new Error(`kill ${kill}, TORTURE_SEED=${random.seed}`, { cause });
      }
    }
    const program = await own.start();
    seen.clear();
    await look(program);
    expect(ledger.refusals).toEqual([]);
    const { stored, deleted } = ledger.answers;
    process.stdout.write(
      `kill-delete: ${KILLS} kills; ${stored} STOWs and ${deleted} DELETEs answered, ` +
        `${ledger.instances.size} instances; each as it was answered\n`,
    );
  },
  limitMs(240_000, 3_000_000),
);

it('the bytes of all that was deleted have gone from the store soon after the next deletion', async () => {
  const left = [...ledger.instances.values()].find(({ standing }) => standing === 'there')!;
  const { status } = await fetch(`${own.last().url}/dicom-web/${resourceOf(left)}`, { method: 'DELETE' });
  expect(status).toBe(204);
  const db = await openEmbedded(own.dataFolder);
  try {
    await eventually(
      async () => ((await db.query('select from removal')).rowCount === 0 ? true : undefined),
      'the end of all removals',
    );
    const { rows } = await db.query<{ key: string }>('select key from object order by key');
    expect(filesIn(join(own.dataFolder, 'objects')).sort()).toEqual(rows.map(({ key }) => key).sort());
  } finally {
    await db.end();
  }
}, 60_000);
