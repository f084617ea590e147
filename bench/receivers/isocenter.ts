/** Isocenter as a receiver, started as `npm start` does: embedded Postgres, files, all settings at their defaults. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CONFIG_NAMES } from '../../src/config.ts';
import { startChild } from '../../test/support/child.ts';
import type { ReceiverKind } from './receiver.ts';

const program = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
const settleSeconds = 60;
/** In a session of its own: Ctrl-C is for the bench, which stops this once and lets it stop its Postgres. */
const session = ['/usr/bin/setsid'].filter((path) => existsSync(path));

/** The fields of /api/overview that are read here. */
interface Overview {
  backlog: { objectsInJournal: number; openReceptions: number };
  attention: { heldStudies: number; openConflicts: number; quarantined: number; refusedLastDay: number };
}

export const isocenter: ReceiverKind = {
  name: 'isocenter',
  title: 'Isocenter',
  command:
    'ISOCENTER_DATA=FOLDER HTTP_PORT=0 DICOM_PORT=0 MALLOC_ARENA_MAX=2 node --max-semi-space-size=4 src/cli.ts start',
  countsByStudy: true,
  async start(folder) {
    const [command = process.execPath, ...args] = [
      ...session,
      process.execPath,
      '--max-semi-space-size=4',
      program,
      'start',
    ];
    const child = await startChild({
      command,
      args,
      env: {
        // An empty setting is one that is not set: nothing of the caller's environment slips in.
        ...Object.fromEntries(CONFIG_NAMES.map((name) => [name, ''])),
        ISOCENTER_DATA: folder,
        HTTP_PORT: '0',
        DICOM_PORT: '0',
        MALLOC_ARENA_MAX: '2',
      },
      startSeconds: 60,
      ready: (output) => output.includes('Isocenter is ready'),
    });
    const said = child.output();
    const url = /Viewer\s+(http:\S+?)\/?$/m.exec(said)?.[1];
    const port = Number(/DICOM\s+\S+:(\d+)$/m.exec(said)?.[1]);
    const get = async (path: string): Promise<Response> => {
      const response = await fetch(`${url}${path}`);
      if (!response.ok) throw new Error(`Isocenter answered ${response.status} to GET ${path}`);
      return response;
    };
    const overview = async (): Promise<Overview> => (await get('/api/overview')).json() as Promise<Overview>;
    return {
      pid: child.pid,
      port,
      aeTitle: 'ISOCENTER',
      ...(url !== undefined && { url }),
      async stored(studyUid) {
        // 204: QIDO has not one; (0020,1208) Number of Study Related Instances.
        const response = await get(`/dicom-web/studies?StudyInstanceUID=${studyUid}&includefield=00201208`);
        if (response.status === 204) return 0;
        const [study] = (await response.json()) as { '00201208'?: { Value?: number[] } }[];
        return Number(study?.['00201208']?.Value?.[0] ?? 0);
      },
      async settled() {
        for (const until = Date.now() + settleSeconds * 1000; Date.now() < until; await sleep(100)) {
          const { backlog } = await overview();
          if (backlog.objectsInJournal === 0 && backlog.openReceptions === 0) return;
        }
        throw new Error(`Isocenter was still settling ${settleSeconds} s after its senders had ended`);
      },
      async longestPauseMs() {
        // prom-client begins anew after each scrape. A turn of the measuring timer, up to 10 ms, is part of it.
        const metrics = await (await get('/metrics')).text();
        return 1000 * Number(/^nodejs_eventloop_lag_max_seconds (\S+)$/m.exec(metrics)?.[1]);
      },
      async complaints() {
        const { attention } = await overview();
        return Object.entries(attention).flatMap(([name, count]) => (count > 0 ? [`${name}: ${count}`] : []));
      },
      stop: () => child.stop(30_000),
    };
  },
};
