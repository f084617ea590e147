/** What makes a measurement of frames void. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { FILE_SERVERS } from '../../../bench/web/file-servers.ts';
import { measureFrames, writeFrameFiles } from '../../../bench/web/frames.ts';
import { startLoad } from '../../../bench/web/load.ts';
import { createResults } from '../../../bench/web/results.ts';
import { CT_SERIES } from '../../../bench/web/shapes.ts';
import { makeSeries, type Stage } from '../../../bench/web/stage.ts';
import { tempFolder } from '../../support/temp-folder.ts';

it('tells no rate of a server that hands out other bytes than the frames', async () => {
  const temp = await tempFolder('bench-frames');
  const [kind] = FILE_SERVERS;
  const signal = new AbortController().signal;
  const load = startLoad(signal);
  const results = createResults();
  const stage: Stage = {
    workspace: temp.path,
    signal,
    load,
    results,
    archives: [],
    fileServers: [],
    round: 0,
    progress: () => {},
  };
  try {
    const sent = await makeSeries(stage, { ...CT_SERIES, rows: 64, columns: 64, objects: 8 });
    const files = writeFrameFiles(sent, temp.path);
    const others = join(temp.path, 'others');
    mkdirSync(others);
    for (let number = 1; number <= 8; number++)
      writeFileSync(join(others, String(number)), Buffer.alloc(8192));
    for (const [name, folder] of [
      ['right', files],
      ['wrong', others],
    ] as const)
      stage.fileServers.push({
        kind: { ...kind!, name },
        server: await kind!.start(folder, temp.path),
      });
    await measureFrames(stage, sent, files);
    const [rate] = results.figures;
    expect(results.values(rate!, 'right')).toHaveLength(1);
    expect(results.values(rate!, 'right')[0]).toBeGreaterThan(100);
    expect(results.values(rate!, 'wrong')).toEqual([]);
    expect(results.faults).toContain(`wrong, ${rate!.name}: the frame has other bytes`);
  } finally {
    for (const { server } of stage.fileServers) await server.stop();
    await load.stop();
    await temp.remove();
  }
});
