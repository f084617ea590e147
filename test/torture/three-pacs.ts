/**
 * Three PACS that a torture suite delivers to: DCMTK's storescp, which keeps every byte in its folder; one that is well
 * and counts; and one with moods, that refuses objects and a SOP class, warns, breaks off, hangs and has no room. Beside
 * them another storescp that takes Implicit VR Little Endian alone, a folder, a STOW-RS server that is not always there,
 * and Orthanc, where it is installed.
 * What each object must come to in the ledger is decided by its SOP Class and Instance UID alone.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Database } from '../../src/archive/database/database.ts';
import { parseDataSet } from '../../src/dicom/data-set.ts';
import { toDicomJson } from '../../src/dicom/dicom-json.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE, IMPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { type ScriptedPacs, startScriptedPacs } from '../forwarding/scripted-pacs.ts';
import { startStowReceiver } from '../forwarding/stow-receiver.ts';
import { type AnObject, MR } from '../support/an-object.ts';
import { type Orthanc, startOrthanc } from '../support/orthanc.ts';
import { type StoreScp, startStoreScp } from '../support/pacs.ts';
import { findPeer } from '../support/peers.ts';
import { tempFolder } from '../support/temp-folder.ts';
import type { Chance } from './chance.ts';
import { type Repeats, watchRepeats } from './repeats.ts';
import { filesIn } from './what-is-there.ts';

export interface ThreePacs {
  readonly folder: StoreScp;
  readonly well: ScriptedPacs;
  readonly moody: ScriptedPacs;
  readonly orthanc: Orthanc | undefined;
  /** What the program that delivers to them must be started with. */
  readonly env: Record<string, string>;
  /** Destinations and the rules that send everything to each of them, over HTTP. */
  configure(url: string): Promise<void>;
  /** Ledger and peers, looked at from outside. @returns a sentence for each thing that is not as it must be */
  findings(database: Database, objects: readonly AnObject[]): Promise<string[]>;
  /** Studies that two associations sent to the PACS that is well at the same time: a delivery is worked by one. */
  shared(objects: readonly AnObject[]): string[];
  /** Objects that peers began to take so far, where they are counted. */
  begun(): number;
  /** What a kill costs those that count. */
  repeats(database: Database): Repeats;
  stop(): Promise<void>;
}

type Row = `delivered ${number}` | `warning ${number}` | `failed ${number}`;

/** Of the moody one: 1 in 16 is refused for good, 1 in 8 taken with a warning; MR Image Storage is never asked for. */
function fateAtMoody({ sop, declared }: AnObject): Row {
  return declared.sopClassUid === MR ? `failed ${NO_STATUS}` : answerOfMoody(sop);
}

const NO_STATUS = -1;

function answerOfMoody(sop: string): Row {
  const fate = createHash('sha256').update(sop).digest()[0]! % 16;
  return fate === 0 ? `failed ${0xc000}` : fate < 3 ? `warning ${0xb000}` : 'delivered 0';
}

export async function startThreePacs(chance: Chance): Promise<ThreePacs> {
  const folder = await startStoreScp({ aeTitle: 'FOLDER' });
  const implicit = await startStoreScp({ aeTitle: 'IMPLICIT', extraArgs: ['+xi'] });
  // Slow enough that most kills come while something is on its way.
  const takesMs = (): number => chance.whole(0, 10);
  const well = await startScriptedPacs({ aeTitle: 'WELL', takesMs });
  const moody = await startScriptedPacs({
    aeTitle: 'MOODY',
    takesMs,
    reject: () => (chance.happens(0.1) ? 2 : undefined),
    negotiate: ({ abstractSyntax, transferSyntaxes }) =>
      abstractSyntax === MR ? 'refuse-abstract-syntax' : transferSyntaxes[0]!,
    answer({ affectedSopInstanceUid }) {
      if (chance.happens(0.04)) return chance.pick([0xa700, 'abort', 'close', 'hang'] as const);
      return Number(answerOfMoody(affectedSopInstanceUid).split(' ')[1]);
    },
  });
  const orthanc = findPeer('orthanc') ? await startOrthanc() : undefined;
  const cloud = await startStowReceiver(() =>
    chance.happens(0.1) ? chance.pick([{ status: 503 }, 'close'] as const) : undefined,
  );
  const root = await tempFolder('shelf');
  const dimse = (aeTitle: string, port: number): object => ({
    kind: 'dimse',
    host: '127.0.0.1',
    port,
    aeTitle,
  });
  const destinations: Record<string, object> = {
    folder: dimse('FOLDER', folder.port),
    implicit: dimse('IMPLICIT', implicit.port),
    well: dimse('WELL', well.port),
    // It hangs: nobody waits a minute for it.
    moody: { ...dimse('MOODY', moody.port), answerS: 10 },
    shelf: { kind: 'folder', path: 'shelf' },
    cloud: { kind: 'stow', url: cloud.url },
    ...(orthanc && { orthanc: dimse(orthanc.aeTitle, orthanc.dicomPort) }),
  };
  const names = Object.keys(destinations);
  const fates: Record<string, (object: AnObject) => Row> = {
    moody: fateAtMoody,
    shelf: () => `delivered ${NO_STATUS}`,
  };

  return {
    folder,
    well,
    moody,
    orthanc,
    env: { FOLDER_ROOT: root.path },
    async configure(url) {
      for (const [name, settings] of Object.entries(destinations))
        await put(`${url}/api/destinations/${name}`, {
          ...settings,
          maxAssociations: 2,
          retry: { firstS: 1, capS: 2 },
        });
      // Both ways in which debts come about: object by object, and when a study is stable.
      await put(`${url}/api/rules/at-once`, { at: 'instance', send: ['folder', 'moody', 'cloud'] });
      await put(`${url}/api/rules/stable`, { at: 'study-stable', send: names.slice(1) });
    },
    async findings(database, objects) {
      const found = await ledgerFindings(database, objects, names, (name, object) =>
        (fates[name] ?? (() => 'delivered 0' as const))(object),
      );
      found.push(...(await folderFindings(folder, objects, (bytes, { dataSet }) => bytes.equals(dataSet))));
      found.push(...(await folderFindings(implicit, objects, sameValues)));
      found.push(...keptFindings('well', well.kept, objects));
      found.push(...keptFindings('cloud', dataSetsOf(cloud.kept), objects));
      found.push(...keptFindings('shelf', await dataSetsOnShelf(join(root.path, 'shelf')), objects));
      const taken = objects.filter((object) => !fateAtMoody(object).startsWith('failed'));
      found.push(...keptFindings('moody', moody.kept, taken));
      if (orthanc) found.push(...(await orthancFindings(orthanc, objects)));
      return found;
    },
    shared(objects) {
      const studies = new Map(objects.map(({ sop, study }) => [sop, study]));
      const sentBy = new Map<string, number>();
      const found: string[] = [];
      for (const { association, sop } of well.events) {
        if (sop === undefined) {
          for (const [study, by] of sentBy) if (by === association) sentBy.delete(study);
          continue;
        }
        const study = studies.get(sop) ?? 'nobody knows';
        const by = sentBy.get(study) ?? association;
        if (by !== association) found.push(`${study} over associations ${by} and ${association}`);
        sentBy.set(study, association);
      }
      return found;
    },
    begun: () => well.asked.length + moody.asked.length + cloud.events.length,
    repeats: (database) =>
      watchRepeats(database, {
        well: { events: well.events, moody: false },
        moody: { events: moody.events, moody: true },
        cloud: { events: cloud.events, moody: true },
      }),
    async stop() {
      await Promise.all([folder, implicit, well, moody, cloud, orthanc].map((peer) => peer?.stop()));
      await root.remove();
    },
  };
}

async function put(url: string, body: object): Promise<void> {
  const response = await fetch(url, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`PUT ${url} was answered ${response.status}: ${await response.text()}`);
}

/** One row for each object and destination, and it says what the peer did; each delivery says what its rows say. */
async function ledgerFindings(
  database: Database,
  objects: readonly AnObject[],
  names: readonly string[],
  fate: (name: string, object: AnObject) => Row,
): Promise<string[]> {
  const findings: string[] = [];
  const { rows } = await database.query<{ destination: string; sop: string; said: string; count: number }>(
    `select d.destination, i.sop_uid as sop, min(i.state || ' ' || coalesce(i.status, ${NO_STATUS})) as said, count(*) as count
     from delivery d join delivery_instance i on i.delivery = d.id group by 1, 2`,
  );
  const said = new Map(rows.map((row) => [`${row.destination} ${row.sop}`, row]));
  for (const name of names)
    for (const object of objects) {
      const { sop } = object;
      const row = said.get(`${name} ${sop}`);
      said.delete(`${name} ${sop}`);
      if (!row) findings.push(`${sop} is not owed to ${name}`);
      else if (row.count !== 1) findings.push(`${sop} is owed to ${name} ${row.count} times`);
      else if (row.said !== fate(name, object))
        findings.push(`${sop} is "${row.said}" at ${name}, where ${fate(name, object)} is right`);
    }
  for (const odd of said.keys()) findings.push(`${odd} is owed, and was never sent`);
  const deliveries = await database.query<{ found: string }>(
    `select d.destination || ' ' || d.id || ' is ' || d.state || ' with ' || n.failed || ' refused: ' || coalesce(d.last_error, '') as found
     from delivery d, lateral (select count(*) filter (where state = 'failed') as failed, count(*) as total
       from delivery_instance where delivery = d.id) n
     where d.lease_owner is not null or d.state <> case when n.failed > 0 then 'parked' else 'delivered' end
       or coalesce(d.last_error, '') !~ case when n.failed > 0
         then '^' || n.failed || ' of ' || n.total || ' instances were refused: (0xC000|the peer does not take MR Image Storage)'
         else '^$' end`,
  );
  findings.push(...deliveries.rows.map((row) => row.found));
  return findings;
}

async function folderFindings(
  scp: StoreScp,
  objects: readonly AnObject[],
  isRight: (dataSet: Buffer, object: AnObject) => boolean,
): Promise<string[]> {
  const findings: string[] = [];
  const owed = new Map(objects.map((object) => [object.sop, object]));
  for (const path of await scp.received()) {
    const file = await readFile(path);
    const { sopInstanceUid = '', dataSetOffset } = readFileMeta(file);
    const object = owed.get(sopInstanceUid);
    owed.delete(sopInstanceUid);
    if (!object) findings.push(`${scp.aeTitle} has ${path}, which nobody sent`);
    else if (!isRight(file.subarray(dataSetOffset), object))
      findings.push(`${scp.aeTitle} has ${sopInstanceUid} with other bytes or values`);
  }
  for (const sop of owed.keys()) findings.push(`${scp.aeTitle} has no ${sop}`);
  return findings;
}

/** What arrived in Implicit VR, of what is stored in Explicit VR. */
function sameValues(implicit: Buffer, { dataSet }: AnObject): boolean {
  const values = (bytes: Buffer, syntax: string): string =>
    JSON.stringify(toDicomJson(parseDataSet(bytes, syntax)));
  return values(implicit, IMPLICIT_LE) === values(dataSet, EXPLICIT_LE);
}

function keptFindings(
  name: string,
  kept: ReadonlyMap<string, Buffer>,
  objects: readonly AnObject[],
): string[] {
  const findings = objects
    .filter(({ sop, dataSet }) => !kept.get(sop)?.equals(dataSet))
    .map(({ sop }) => `${name} has ${kept.has(sop) ? 'other bytes of' : 'no'} ${sop}`);
  if (kept.size !== objects.length) findings.push(`${name} has ${kept.size} objects of ${objects.length}`);
  return findings;
}

function dataSetsOf(files: ReadonlyMap<string, Buffer>): Map<string, Buffer> {
  return new Map(
    [...files].map(([sop, file]) => [sop, file.subarray(readFileMeta(file).dataSetOffset)] as const),
  );
}

/** Data sets by SOP Instance UID; what is not whole yet goes on to be renamed, and counts by its own name until then. */
async function dataSetsOnShelf(folder: string): Promise<Map<string, Buffer>> {
  const whole = new Map<string, Buffer>();
  const others = new Map<string, Buffer>();
  for (const name of filesIn(folder))
    if (name.endsWith('.dcm')) whole.set(basename(name, '.dcm'), await readFile(join(folder, name)));
    else others.set(name, Buffer.alloc(0));
  return new Map([...dataSetsOf(whole), ...others]);
}

/** Its files are written anew by DCMTK, so its values count: each object once, the pixels as they were. */
async function orthancFindings(orthanc: Orthanc, objects: readonly AnObject[]): Promise<string[]> {
  const findings: string[] = [];
  const found = (await orthanc.get('/instances?expand')) as {
    ID: string;
    MainDicomTags: { SOPInstanceUID: string };
  }[];
  const owed = new Map(objects.map((object) => [object.sop, object]));
  for (const { ID, MainDicomTags } of found) {
    const object = owed.get(MainDicomTags.SOPInstanceUID);
    owed.delete(MainDicomTags.SOPInstanceUID);
    if (!object) {
      findings.push(`Orthanc has ${MainDicomTags.SOPInstanceUID} twice, or nobody sent it`);
      continue;
    }
    const response = await fetch(`${orthanc.url}/instances/${ID}/file`);
    const file = Buffer.from(await response.arrayBuffer());
    if (!file.subarray(readFileMeta(file).dataSetOffset).equals(object.dataSet))
      findings.push(`Orthanc has ${object.sop} with other bytes`);
  }
  for (const sop of owed.keys()) findings.push(`Orthanc has no ${sop}`);
  return findings;
}
