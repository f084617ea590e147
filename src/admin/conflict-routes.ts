/**
 * Conflicts over HTTP: the list, one with what differs, and the calls by which a person settles them. Added to the
 * admin router by routes.ts; decisions are made by archive/settle-conflict.ts.
 */
import type Router from '@koa/router';
import type { Context } from 'koa';
import { recordDisclosure } from '../archive/disclosure.ts';
import { readHeader } from '../archive/read-header.ts';
import { type SettleParts, settleConflict, settleStudy } from '../archive/settle-conflict.ts';
import { findVersion } from '../archive/stored-object.ts';
import { findStudy } from '../archive/study.ts';
import type { Difference } from '../dicom/compare-data-sets.ts';
import { type DicomJson, type DicomJsonElement, toDicomJson } from '../dicom/dicom-json.ts';
import { isUid } from '../dicom/uid.ts';
import { Failure } from '../failure.ts';
import { type ConflictDetail, findConflict, listConflicts, listVersions } from './conflict-list.ts';
import {
  conflictDetailQuery,
  conflictPath,
  conflictQuery,
  idPath,
  parsed,
  settleQuery,
  settleStudyPath,
} from './query.ts';

export type ConflictRoutesParts = SettleParts;

/** Characters of a value that are shown. */
const MOST_SHOWN = 256;

export function addConflictRoutes(router: Router, parts: ConflictRoutesParts): void {
  const { database } = parts;

  router.get('/conflicts', async (ctx) => {
    ctx.body = await listConflicts(database, parsed(ctx.query, conflictQuery, 'The query'));
  });

  router.get('/conflicts/:id', async (ctx) => {
    const { id } = parsed(ctx.params, idPath, 'The path');
    const { values } = parsed(ctx.query, conflictDetailQuery, 'The query');
    const conflict = await findConflict(database, id);
    if (values === 'false') {
      ctx.body = conflict;
      return;
    }
    const difference = await withValues(parts, conflict);
    const patients = conflict.kind === 'content' ? undefined : await patientsOf(parts, conflict);
    const actor = ctx.state.actor as { name: string; address: string } | undefined;
    await recordDisclosure(database, {
      channel: 'api',
      recipient: actor?.name ?? 'anonymous',
      address: actor?.address ?? ctx.ip,
      studyUid: conflict.study,
      ...(conflict.series !== null && { seriesUid: conflict.series }),
      sopUid: conflict.sop,
      instances: 1,
      detail: { action: 'conflict-values', conflict: id },
    });
    ctx.set('Cache-Control', 'no-store');
    ctx.body = { ...conflict, difference, ...(patients && { patients }) };
  });

  router.post('/conflicts/:id/:action', async (ctx) => {
    const { id, action } = parsed(ctx.params, conflictPath, 'The path');
    const { version } = parsed(ctx.query, settleQuery, 'The query');
    ctx.body = await settleConflict(parts, id, { action, actor: actorOf(ctx), version });
  });

  router.post('/studies/:study/conflicts/:action', async (ctx) => {
    const { study, action } = parsed(ctx.params, settleStudyPath, 'The path');
    ctx.body = await settleStudy(parts, study, { action, actor: actorOf(ctx) });
  });

  router.get('/instances/:instance/versions', async (ctx) => {
    const { instance = '' } = ctx.params;
    if (!isUid(instance)) throw new Failure('invalid', 'The path needs a (0008,0018) SOPInstanceUID.');
    const versions = await listVersions(database, instance);
    if (versions.length === 0) throw new Failure('not-found', `There is no instance ${instance}`);
    ctx.body = versions;
  });
}

function actorOf(ctx: Pick<Context, 'state'>): string {
  return (ctx.state as { actor?: { name: string } }).actor?.name ?? 'anonymous';
}

type Shown = Difference & { before?: unknown; came?: unknown };

/** What tells one patient from another (PS3.3 C.2.2 and C.2.3), in the order a person reads it. */
const PATIENT = {
  PatientName: '00100010',
  PatientID: '00100020',
  IssuerOfPatientID: '00100021',
  PatientBirthDate: '00100030',
  PatientSex: '00100040',
};

/**
 * Whose the object is by its own words, and whose the studies are that claim it: what a person compares to decide.
 * A study or version that is no more is null.
 */
async function patientsOf(parts: ConflictRoutesParts, conflict: ConflictDetail) {
  const patient = (json: DicomJson | undefined) =>
    json
      ? Object.fromEntries(Object.entries(PATIENT).map(([keyword, tag]) => [keyword, shown(json[tag])]))
      : null;
  const ofStudy = async (uid: string) => patient((await findStudy(parts.database, uid))?.attributes);
  return {
    study: await ofStudy(conflict.study),
    ...(conflict.otherStudy !== null && { otherStudy: await ofStudy(conflict.otherStudy) }),
    came: patient(await headerOf(parts, conflict, conflict.came)),
  };
}

/** The values on both sides, read from the stored objects; a long one is cut, binary ones are said by their length. */
async function withValues(parts: ConflictRoutesParts, conflict: ConflictDetail): Promise<Shown[] | null> {
  if (!conflict.difference || conflict.difference.length === 0) return conflict.difference;
  const before = (await headerOf(parts, conflict, conflict.before)) ?? {};
  const came = (await headerOf(parts, conflict, conflict.came)) ?? {};
  return conflict.difference.map((difference) => ({
    ...difference,
    before: shown(elementAt(before, difference)),
    came: shown(elementAt(came, difference)),
  }));
}

/** Undefined of a version that was dropped. */
async function headerOf(
  parts: ConflictRoutesParts,
  { sop }: ConflictDetail,
  version: { version: string } | null,
): Promise<DicomJson | undefined> {
  const object =
    version && (await findVersion(parts.database, { sopUid: sop, contentHash: version.version }));
  if (!object) return undefined;
  return toDicomJson((await readHeader(parts.reader, object)).dataSet, { bulkDataUri: () => undefined });
}

function elementAt(json: DicomJson, { tag, within }: Difference): DicomJsonElement | undefined {
  let item: DicomJson | undefined = json;
  const steps = within?.split('/') ?? [];
  for (let step = 0; step + 1 < steps.length; step += 2)
    item = item?.[steps[step]!]?.Value?.[Number(steps[step + 1])] as DicomJson | undefined;
  return item?.[tag];
}

function shown(element: DicomJsonElement | undefined): unknown {
  if (!element) return null;
  if (element.vr === 'SQ') return `${element.Value?.length ?? 0} items`;
  if (element.InlineBinary !== undefined)
    return `${Buffer.from(element.InlineBinary, 'base64').length} bytes`;
  const text = JSON.stringify(element.Value ?? []);
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : (element.Value ?? []);
}
