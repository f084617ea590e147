/**
 * What stands while `bench dicomweb` measures: the archives with the series they were sent, the file servers, the client.
 * Set up by dicomweb.ts; every measurement gets it.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Receiver } from '../receivers/receiver.ts';
import { send } from '../send.ts';
import { type Shape, writeSeries } from '../series/series.ts';
import type { ArchiveKind } from './archives.ts';
import type { FileServer, FileServerKind } from './file-servers.ts';
import type { Load } from './load.ts';
import type { Results } from './results.ts';
import type { SentSeries } from './shapes.ts';

export interface RunningArchive {
  readonly kind: ArchiveKind;
  /** Changes with a restart. */
  receiver: Receiver;
  readonly folder: string;
}

export interface RunningFileServer {
  readonly kind: FileServerKind;
  readonly server: FileServer;
}

export interface Stage {
  readonly workspace: string;
  readonly signal: AbortSignal;
  readonly load: Load;
  readonly results: Results;
  readonly archives: RunningArchive[];
  readonly fileServers: RunningFileServer[];
  /** From 0. */
  round: number;
  progress(line: string): void;
}

export async function startArchive(kind: ArchiveKind, workspace: string): Promise<RunningArchive> {
  const folder = join(workspace, kind.name);
  await mkdir(folder);
  return { kind, folder, receiver: await kind.start(folder) };
}

export async function restart(archive: RunningArchive): Promise<void> {
  await archive.receiver.stop();
  archive.receiver = await archive.kind.start(archive.folder);
}

export function urlOf({ kind, receiver }: RunningArchive): string {
  if (receiver.url === undefined) throw new Error(`${kind.title} did not say where it answers HTTP`);
  return receiver.url;
}

/** Each round begins with another one. */
export function inTurn<T>(list: readonly T[], round: number): T[] {
  return list.map((_, at) => list[(at + round) % list.length]!);
}

/** Written below the workspace, where it stays until it is removed. */
export async function makeSeries({ workspace }: Stage, shape: Shape): Promise<SentSeries> {
  return { shape, series: await writeSeries(shape, join(workspace, shape.title.replaceAll(' ', '-'))) };
}

/** Over one association; every object is indexed when this resolves, or it throws. */
export async function sendTo(stage: Stage, archive: RunningArchive, { series }: SentSeries): Promise<void> {
  const { receiver, kind } = archive;
  const before = kind.name === 'orthanc' ? await receiver.stored(series.studyUid) : 0;
  await send(receiver, [[...series.folders]], stage.signal);
  const stored = (await receiver.stored(series.studyUid)) - before;
  if (stored !== series.objects)
    throw new Error(`${kind.title} has ${stored} of ${series.objects} objects of ${series.title}`);
}
