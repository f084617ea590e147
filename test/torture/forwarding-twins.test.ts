/**
 * Two Isocenter processes on one Postgres, S3 and Redis share what is owed to three PACS (and Orthanc), while either is
 * killed, Redis is killed, and Redis is emptied. Nothing is lost, each delivery is worked by one at a time, and what the
 * peers have is what was sent, byte for byte.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { peer } from '../support/peers.ts';
import { type Program, startProgram } from '../support/program.ts';
import { type Redis, redisCommand, startRedis } from '../support/redis.ts';
import { sharedS3 } from '../support/shared-peers.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { chance } from './chance.ts';
import { killIn } from './kill-in.ts';
import type { Repeats } from './repeats.ts';
import { limitMs, times } from './scale.ts';
import { createSteadyModality } from './steady-modality.ts';
import { startThreePacs, type ThreePacs } from './three-pacs.ts';

const TURNS = times(5, 60);
const DEEDS = [
  'a twin is killed',
  'Redis is emptied',
  'the other twin is killed',
  'Redis is killed',
] as const;

const random = chance();
let temp: TempFolder;
let db: TestDatabase;
let redis: Redis;
let pacs: ThreePacs;
let repeats: Repeats;
let env: Record<string, string>;
const twins: (Program | undefined)[] = [undefined, undefined];

const folderOf = (which: number): string => join(temp.path, `twin-${which}`);
const start = async (which: number): Promise<void> => {
  twins[which] = await startProgram({ dataFolder: folderOf(which), env });
};
const twin = (which: number): Program => twins[which]!;

/** Since its start. */
async function attempts(which: number): Promise<number> {
  const metrics = await (await fetch(`${twin(which).url}/metrics`)).text();
  return [...metrics.matchAll(/^isocenter_delivery_attempts_total\{.*\} (\d+)$/gm)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
}

const ready = peer('dcmtk') && peer('redis-server') && peer('s3');
describe.skipIf(!ready)('two processes that share deliveries (needs dcmtk, redis-server and s3)', () => {
  beforeAll(async () => {
    temp = await tempFolder('forwarding-twins');
    db = await testDatabase();
    redis = await startRedis();
    pacs = await startThreePacs(random);
    repeats = pacs.repeats(db.database);
    const s3 = await sharedS3();
    env = {
      DATABASE_URL: db.url,
      REDIS_URL: redis.url,
      S3_ENDPOINT: s3.endpoint,
      S3_BUCKET: `twins-${crypto.randomUUID()}`,
      S3_ACCESS_KEY: s3.accessKey,
      S3_SECRET_KEY: s3.secretKey,
      S3_REGION: s3.region,
      STABLE_AGE_S: '1',
      ...pacs.env,
    };
  });
  afterAll(async () => {
    for (const program of twins) await program?.child.stop(20_000);
    await pacs?.stop();
    await redis?.stop();
    await db?.drop();
    await temp?.remove();
  });

  const deeds: Record<(typeof DEEDS)[number], () => Promise<void>> = {
    'a twin is killed': () => killTwin(0),
    'the other twin is killed': () => killTwin(1),
    'Redis is emptied': async () => {
      await sleep(random.whole(0, 300));
      expect(await redisCommand(redis.port, 'FLUSHALL')).toContain('OK');
    },
    'Redis is killed': async () => {
      await sleep(random.whole(0, 300));
      await redis.kill();
      await sleep(random.whole(0, 2000));
      redis = await startRedis({ port: redis.port });
    },
  };
  async function killTwin(which: number): Promise<void> {
    const { child } = twin(which);
    await killIn(child.pid, random.whole(0, 300));
    await child.exited;
    twins[which] = undefined;
    await repeats.killed(folderOf(which));
  }

  it(
    `${TURNS} turns of it: nothing is lost, and each delivery is worked by one`,
    async () => {
      process.stdout.write(`forwarding-twins: TORTURE_SEED=${random.seed}\n`);
      const modality = createSteadyModality(random);
      await start(0);
      await start(1);
      await pacs.configure(twin(0).url);
      let kills = 0;
      for (let turn = 0; turn < TURNS; turn++) {
        const deed = DEEDS[turn % DEEDS.length]!;
        const begun = pacs.begun();
        modality.scan();
        const sending = modality.send(twin(turn % 2).dicomPort);
        await expect.poll(() => pacs.begun(), { timeout: 45_000, interval: 5 }).toBeGreaterThan(begun);
        await deeds[deed]();
        await sending;
        for (const which of [0, 1])
          if (!twins[which]) {
            kills++;
            await start(which);
          }
      }
      // Quiet again: both take part.
      for (let study = 0; study < 6; study++) modality.scan();
      expect(await modality.send(twin(0).dicomPort)).toBeUndefined();
      let findings: string[] = ['not looked at yet'];
      for (
        const until = Date.now() + limitMs(120_000, 600_000);
        findings.length > 0 && Date.now() < until;
      ) {
        await sleep(500);
        findings = await pacs.findings(db.database, modality.objects);
      }
      const about = `TORTURE_SEED=${random.seed}`;
      expect(findings, about).toEqual([]);
      expect(pacs.shared(modality.objects), about).toEqual([]);
      expect(repeats.findings(), about).toEqual([]);
      const shares = [await attempts(0), await attempts(1)];
      for (const share of shares) expect(share, `attempts of the twins: ${shares}`).toBeGreaterThan(0);
      expect(await redisCommand(redis.port, 'KEYS isocenter:*'), 'Bull is back').toContain('isocenter-due');
      process.stdout.write(
        `forwarding-twins: ${TURNS} turns, ${kills} kills of a twin; ${modality.objects.length} objects are where they ` +
          `belong; ${repeats.count()} C-STOREs were repeated; attempts of the twins since their last start: ${shares.join(' and ')}\n`,
      );
    },
    limitMs(300_000, 3_600_000),
  );
});
