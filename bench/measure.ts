/**
 * One run: a receiver started over an empty folder, warmed up, sent the series, asked whether it has it, and removed.
 * Called by receive.ts, in an order that alternates the receivers.
 */
import { spawnSync } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readTree } from './process-tree.ts';
import type { Receiver, ReceiverKind } from './receivers/receiver.ts';
import { send } from './send.ts';
import type { Associations, Series } from './series/series.ts';

export interface Run {
  wallSeconds: number;
  /** Of the receiver's processes, from the first sender's start until it rests again. */
  cpuSeconds: number;
  /** Peak when it had just started, before it received anything. */
  startBytes: number;
  /** Peaks since the start, the start with them. */
  memoryBytes: number;
  postgresBytes: number;
  pauseMs: number | undefined;
  /** Why the run is void; a time that was reached by losing objects is no time. */
  faults: string[];
}

export interface Job {
  readonly kind: ReceiverKind;
  readonly series: Series;
  readonly warmUp: Series;
  readonly associations: Associations;
  /** On the disk under measurement. */
  readonly workspace: string;
  readonly signal: AbortSignal;
}

const SAMPLE_MS = 100;

export async function measure(job: Job): Promise<Run> {
  const folder = join(job.workspace, 'receiver');
  await mkdir(folder);
  // What earlier runs left to the kernel must not be written out during this one.
  spawnSync('sync');
  try {
    const receiver = await job.kind.start(folder);
    try {
      return await measureReceiver(job, receiver);
    } finally {
      await receiver.stop();
    }
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function measureReceiver(job: Job, receiver: Receiver): Promise<Run> {
  const { kind, series, warmUp, associations, signal } = job;
  const { memoryBytes: startBytes } = readTree(receiver.pid);
  await send(receiver, lanesOf(warmUp, 8), signal);
  await receiver.settled();
  spawnSync('sync');
  const before = kind.countsByStudy ? 0 : await countOf(receiver, warmUp, warmUp.objects);
  await receiver.longestPauseMs?.();

  const began = readTree(receiver.pid);
  const peak = { memoryBytes: 0, postgresBytes: 0 };
  const sample = (): void => {
    const now = readTree(receiver.pid);
    peak.memoryBytes = Math.max(peak.memoryBytes, now.memoryBytes);
    peak.postgresBytes = Math.max(peak.postgresBytes, now.postgresBytes);
  };
  const sampling = setInterval(sample, SAMPLE_MS);
  let wallSeconds: number;
  try {
    wallSeconds = await send(receiver, lanesOf(series, associations), signal);
  } finally {
    clearInterval(sampling);
  }
  // Asked first of all: indexed by the release means now.
  const stored = (await countOf(receiver, series, before + series.objects)) - before;
  sample();
  const pauseMs = await receiver.longestPauseMs?.();
  await receiver.settled();
  const cpuSeconds = readTree(receiver.pid).cpuSeconds - began.cpuSeconds;
  const faults = (await receiver.complaints?.()) ?? [];
  if (stored !== series.objects)
    faults.unshift(`${stored} of ${series.objects} objects were there when the senders had ended`);
  return { wallSeconds, cpuSeconds, startBytes, ...peak, pauseMs, faults };
}

/** One index is asked once. Those that only count what they wrote may say so a moment after the sender's end. */
async function countOf(receiver: Receiver, series: Series, expected: number): Promise<number> {
  let count = await receiver.stored(series.studyUid);
  for (let tries = 0; !receiver.complaints && count < expected && tries < 20; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    count = await receiver.stored(series.studyUid);
  }
  return count;
}

/** Eight associations send a folder each (or as many as there are); one sends them all. */
function lanesOf({ folders }: Series, associations: Associations): string[][] {
  return associations === 1 ? [[...folders]] : folders.map((folder) => [folder]);
}
