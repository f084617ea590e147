/** What `bench receive` is made of: the made-up series, the senders, the bare reader, and what makes a run void. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { measure } from '../../bench/measure.ts';
import { readTree } from '../../bench/process-tree.ts';
import { isocenter } from '../../bench/receivers/isocenter.ts';
import { reader } from '../../bench/receivers/reader.ts';
import type { ReceiverKind } from '../../bench/receivers/receiver.ts';
import { storescp } from '../../bench/receivers/storescp.ts';
import { send } from '../../bench/send.ts';
import { type Series, type SeriesName, shapeOf, writeSeries } from '../../bench/series/series.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { findPeer, peer } from '../support/peers.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

let temp: TempFolder;
beforeAll(async () => {
  temp = await tempFolder('bench');
});
afterAll(() => temp.remove());

/** A few objects of the shape, and of multi-frame ones a few frames. */
async function few(name: SeriesName): Promise<Series> {
  const shape = shapeOf(name, 8);
  const frames = Math.min(shape.frames, 5);
  return writeSeries({ ...shape, objects: 10, frames }, mkdtempSync(join(temp.path, name)));
}

const filesOf = ({ folders }: Series): string[] =>
  folders.flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));

describe.each<SeriesName>(['ct', 'mr', 'small', 'big'])('the series %s', (name) => {
  it('lies in eight folders, each file an object of its own', async () => {
    const series = await few(name);
    const files = filesOf(series);
    expect(series.folders).toHaveLength(8);
    expect(files).toHaveLength(10);
    const read = files.map((file) => readFileSync(file));
    expect(new Set(read.map((bytes) => readFileMeta(bytes).sopInstanceUid)).size).toBe(10);
    expect(read.reduce((sum, bytes) => sum + bytes.length, 0)).toBe(series.bytes);
    if (findPeer('dcmtk')) {
      const dump = execFileSync(findPeer('dcmtk')!.dcmdump!, ['-q', files[0]!], { encoding: 'utf8' });
      // The outermost elements alone.
      expect(dump.match(/^\([0-9a-f]{4},/gm)!.length).toBeGreaterThan(100);
      expect(dump).toContain(`[${series.studyUid}]`);
      expect(dump).toMatch(/^\(0029,0010\) LO \[ISOCENTER BENCH CSA\]/m);
    }
  });
});

describe.skipIf(!peer('dcmtk'))('a run (needs dcmtk)', () => {
  it('of the bare reader answers storescu over one and over eight associations, and counts every object', async () => {
    const series = await few('small');
    const receiver = await reader.start(temp.path);
    try {
      const { signal } = new AbortController();
      await send(receiver, [[...series.folders]], signal);
      await send(
        receiver,
        series.folders.map((folder) => [folder]),
        signal,
      );
      await expect.poll(() => receiver.stored(series.studyUid)).toBe(20);
      const { cpuSeconds, memoryBytes } = readTree(receiver.pid);
      expect(cpuSeconds).toBeGreaterThan(0);
      expect(memoryBytes).toBeGreaterThan(10e6);
    } finally {
      await receiver.stop();
    }
  });

  it('makes a run void whose receiver has not got everything, and cleans up behind it', async () => {
    const series = await few('small');
    const warmUp = await few('small');
    const workspace = mkdtempSync(join(temp.path, 'workspace-'));
    const losing: ReceiverKind = {
      ...reader,
      async start(folder) {
        const receiver = await reader.start(folder);
        const stored = async (uid: string) => Math.min(await receiver.stored(uid), 19);
        return { ...receiver, stored };
      },
    };
    const { signal } = new AbortController();
    const job = { series, warmUp, associations: 8, workspace, signal } as const;
    expect((await measure({ ...job, kind: reader })).faults).toEqual([]);
    expect((await measure({ ...job, kind: losing })).faults).toEqual([
      '9 of 10 objects were there when the senders had ended',
    ]);
    expect(readdirSync(workspace)).toEqual([]);
  });

  it.each([isocenter, storescp])('measures $name, which then has every object', async (kind) => {
    const workspace = mkdtempSync(join(temp.path, 'workspace-'));
    const [series, warmUp] = [await few('mr'), await few('ct')];
    const { signal } = new AbortController();
    const run = await measure({ kind, series, warmUp, associations: 8, workspace, signal });
    expect(run.faults).toEqual([]);
    expect(run.wallSeconds).toBeGreaterThan(0);
    expect(run.memoryBytes).toBeGreaterThan(10e6);
    // Postgres and the main loop are Isocenter's; storescp has neither.
    expect(run.postgresBytes > 0).toBe(kind === isocenter);
    expect((run.pauseMs ?? 0) > 0).toBe(kind === isocenter);
  });

  it('says what storescu said when nobody listens', async () => {
    const series = await few('ct');
    const receiver = await reader.start(temp.path);
    await receiver.stop();
    const sent = send(receiver, [[...series.folders]], new AbortController().signal);
    await expect(sent).rejects.toThrow(/storescu ended with \d+: .*Association Request Failed/s);
  });
});
