/**
 * Clients that store studies as metadata and bulk data (STOW-RS, PS3.18 10.5.2), and clients that delete them again,
 * without end; and the ledger in which stands what each instance's last answer said. Deleted ones are sent again, too.
 * Used by kill-delete.test.ts.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { CT, uid } from '../support/an-object.ts';
import type { Chance } from './chance.ts';

/**
 * there, gone: as it was answered, and as it must be. storing, deleting: asked for and not answered: either is right,
 * and a deletion takes all of its instances or none.
 */
export type Standing = 'storing' | 'there' | 'deleting' | 'gone';

export interface Stored {
  study: string;
  series: string;
  sop: string;
  columns: number;
  standing: Standing;
}

export interface Ledger {
  readonly instances: Map<string, Stored>;
  /** Deletions that were not answered, each with its instances. */
  readonly unanswered: Stored[][];
  answers: { stored: number; deleted: number };
  /** Answers that should not be, in words. */
  readonly refusals: string[];
}

export const openLedger = (): Ledger => ({
  instances: new Map(),
  unanswered: [],
  answers: { stored: 0, deleted: 0 },
  refusals: [],
});

const ROWS = 64;

/** The pixels of an instance, by its UID: 16 bits each. */
export function pixelsOf({ sop, columns }: Stored): Buffer {
  return Buffer.alloc(ROWS * columns * 2, createHash('sha256').update(sop).digest());
}

export const resourceOf = ({ study, series, sop }: Stored): string =>
  `studies/${study}/series/${series}/instances/${sop}`;

/** @returns what ends them; they end by themselves soon after the program has gone */
export function startClients(url: string, ledger: Ledger, chance: Chance): { stop(): Promise<void> } {
  const over = new AbortController();
  const each = async (turn: () => Promise<void>): Promise<void> => {
    while (!over.signal.aborted)
      try {
        await turn();
      } catch {
        // It was killed in the middle: what was not answered may be or not.
        if (!over.signal.aborted) await sleep(20);
      }
  };
  const all = Promise.all([
    each(() => storeStudy(url, ledger, chance)),
    each(() => storeStudy(url, ledger, chance)),
    each(() => deleteSome(url, ledger, chance)),
    each(() => deleteSome(url, ledger, chance)),
  ]);
  return {
    async stop() {
      over.abort();
      await all;
    },
  };
}

async function storeStudy(url: string, ledger: Ledger, chance: Chance): Promise<void> {
  // What is indexed is placed when nothing comes for a moment, and only what is placed can be deleted.
  if (chance.happens(0.3)) await sleep(chance.whole(200, 600));
  const wanted = chance.happens(0.2) ? deletedStudy(ledger, chance) : newStudy(chance);
  for (const one of wanted) ledger.instances.set(one.sop, Object.assign(one, { standing: 'storing' }));
  const { status, stored } = await post(url, wanted);
  if (status !== 200) {
    // 503: durable and not yet in the index; nothing was promised.
    if (status !== 503) ledger.refusals.push(`STOW ${status}`);
    return;
  }
  if (wanted.some(({ sop }) => !stored.has(sop))) ledger.refusals.push('STOW 200 that leaves instances out');
  for (const one of wanted) one.standing = 'there';
  ledger.answers.stored++;
}

function newStudy(chance: Chance): Stored[] {
  const study = uid();
  return [uid(), uid()].slice(0, chance.whole(1, 2)).flatMap((series) =>
    Array.from({ length: chance.whole(1, 4) }, () => ({
      study,
      series,
      sop: uid(),
      columns: chance.happens(0.05) ? chance.whole(4096, 16_384) : chance.whole(8, 256),
      standing: 'storing' as const,
    })),
  );
}

/** The instances of a study that are gone; a new study where there is none. */
function deletedStudy(ledger: Ledger, chance: Chance): Stored[] {
  const gone = [...ledger.instances.values()].filter(({ standing }) => standing === 'gone').slice(-50);
  if (gone.length === 0) return newStudy(chance);
  const { study } = chance.pick(gone);
  // A client is at deleting the rest of it: it may come in time to be deleted, too.
  const isAtRest = [...ledger.instances.values()].every(
    (one) => one.study !== study || one.standing === 'gone' || one.standing === 'there',
  );
  return isAtRest ? gone.filter((one) => one.study === study) : newStudy(chance);
}

async function post(
  url: string,
  instances: readonly Stored[],
): Promise<{ status: number; stored: Set<string> }> {
  const part = (type: string, location: string, body: Buffer): Buffer[] => [
    Buffer.from(`\r\n--b\r\nContent-Type: ${type}\r\n${location}\r\n`),
    body,
  ];
  const metadata = Buffer.from(JSON.stringify(instances.map(metadataOf)));
  const body = Buffer.concat([
    ...part('application/dicom+json', '', metadata),
    ...instances.flatMap((one) =>
      part('application/octet-stream', `Content-Location: bulk/${one.sop}\r\n`, pixelsOf(one)),
    ),
    Buffer.from('\r\n--b--\r\n'),
  ]);
  const response = await fetch(`${url}/dicom-web/studies`, {
    method: 'POST',
    headers: { 'Content-Type': 'multipart/related; type="application/dicom+json"; boundary=b' },
    body: new Uint8Array(body),
  });
  const answer = (await response.json()) as Record<string, { Value?: Record<string, { Value: string[] }>[] }>;
  return {
    status: response.status,
    stored: new Set(answer['00081199']?.Value?.map((item) => item['00081155']!.Value[0]!)),
  };
}

function metadataOf({ study, series, sop, columns }: Stored): Record<string, unknown> {
  const one = (vr: string, value: unknown) => ({ vr, Value: [value] });
  return {
    '00080016': one('UI', CT),
    '00080018': one('UI', sop),
    '00080060': one('CS', 'CT'),
    '00100010': one('PN', { Alphabetic: 'Example^Anna' }),
    '00100020': one('LO', 'P1'),
    '0020000D': one('UI', study),
    '0020000E': one('UI', series),
    '00280002': one('US', 1),
    '00280004': one('CS', 'MONOCHROME2'),
    '00280010': one('US', ROWS),
    '00280011': one('US', columns),
    '00280100': one('US', 16),
    '00280101': one('US', 16),
    '00280102': one('US', 15),
    '00280103': one('US', 0),
    '7FE00010': { vr: 'OW', BulkDataURI: `bulk/${sop}` },
  };
}

/** A study, a series or an instance of what is there. */
async function deleteSome(url: string, ledger: Ledger, chance: Chance): Promise<void> {
  await sleep(chance.whole(10, 120));
  const there = [...ledger.instances.values()].filter(({ standing }) => standing === 'there');
  if (there.length === 0) return;
  const { study, series, sop } = chance.pick(there);
  const level = chance.pick(['study', 'study', 'series', 'instance'] as const);
  const isMeant = {
    study: (one: Stored) => one.study === study,
    series: (one: Stored) => one.series === series,
    instance: (one: Stored) => one.sop === sop,
  }[level];
  const path = {
    study: `studies/${study}`,
    series: `studies/${study}/series/${series}`,
    instance: `studies/${study}/series/${series}/instances/${sop}`,
  }[level];
  const meant = [...ledger.instances.values()].filter((one) => isMeant(one) && one.standing !== 'gone');
  // Another client is at it.
  if (meant.some(({ standing }) => standing !== 'there')) return;
  for (const one of meant) one.standing = 'deleting';
  ledger.unanswered.push(meant);
  const response = await fetch(`${url}/dicom-web/${path}`, { method: 'DELETE' });
  await response.arrayBuffer();
  // 503: some of it is on its way to the store.
  if (response.status !== 204 && response.status !== 503) ledger.refusals.push(`DELETE ${response.status}`);
  for (const one of meant) one.standing = response.status === 204 ? 'gone' : 'there';
  ledger.unanswered.splice(ledger.unanswered.indexOf(meant), 1);
  if (response.status === 204) ledger.answers.deleted++;
}
