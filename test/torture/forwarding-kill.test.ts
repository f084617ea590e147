/**
 * kill -9 of the whole program at random moments while it delivers to three PACS (and Orthanc), of which one refuses,
 * warns, breaks off, hangs and has no room. At the end every row of the ledger is right, what the peers have is what was
 * sent, byte for byte, and no kill has cost a peer more than the few C-STOREs whose outcome was not yet written.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { peer } from '../support/peers.ts';
import { type Program, startProgram } from '../support/program.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { chance } from './chance.ts';
import { killIn } from './kill-in.ts';
import { limitMs, times } from './scale.ts';
import { createSteadyModality } from './steady-modality.ts';
import { startThreePacs, type ThreePacs } from './three-pacs.ts';

const KILLS = times(8, 100);

const random = chance();
let temp: TempFolder;
let db: TestDatabase;
let pacs: ThreePacs;
let running: Program | undefined;

const start = async (): Promise<Program> => {
  running = await startProgram({
    dataFolder: join(temp.path, 'data'),
    env: { DATABASE_URL: db.url, STABLE_AGE_S: '1', ...pacs.env },
  });
  return running;
};

describe.skipIf(!peer('dcmtk'))('killed while it delivers to three PACS (needs dcmtk)', () => {
  beforeAll(async () => {
    temp = await tempFolder('forwarding-kill');
    db = await testDatabase();
    pacs = await startThreePacs(random);
  });
  afterAll(async () => {
    await running?.child.stop(20_000);
    await pacs?.stop();
    await db?.drop();
    await temp?.remove();
  });

  it(
    `${KILLS} times: every row of the ledger is right, and every PACS has every byte`,
    async () => {
      process.stdout.write(`forwarding-kill: TORTURE_SEED=${random.seed}\n`);
      const modality = createSteadyModality(random);
      const repeats = pacs.repeats(db.database);
      for (let kill = 0; kill < KILLS; kill++) {
        const { url, dicomPort, child } = await start();
        if (kill === 0) await pacs.configure(url);
        modality.scan();
        const begun = pacs.begun();
        const sending = modality.send(dicomPort);
        // Most in the middle of a delivery, some whenever it is: before the first, between two.
        if (random.happens(0.8)) {
          await expect.poll(() => pacs.begun(), { timeout: 30_000, interval: 5 }).toBeGreaterThan(begun);
          await killIn(child.pid, random.whole(0, 250));
        } else await killIn(child.pid, random.whole(0, 3000));
        await child.exited;
        running = undefined;
        await sending;
        await repeats.killed(join(temp.path, 'data'));
      }
      const { dicomPort } = await start();
      expect(await modality.send(dicomPort)).toBeUndefined();
      let findings: string[] = ['not looked at yet'];
      for (const until = Date.now() + limitMs(90_000, 600_000); findings.length > 0 && Date.now() < until; ) {
        await sleep(500);
        findings = await pacs.findings(db.database, modality.objects);
      }
      expect(findings, `TORTURE_SEED=${random.seed}`).toEqual([]);
      expect(repeats.findings(), `TORTURE_SEED=${random.seed}`).toEqual([]);
      expect(repeats.amid, 'kills in the middle of a delivery').toBeGreaterThan(0);
      process.stdout.write(
        `forwarding-kill: ${KILLS} kills, ${repeats.amid} of them amid a delivery; ${modality.objects.length} objects are where ` +
          `they belong${pacs.orthanc ? ', in Orthanc too' : ''}; ${repeats.count()} C-STOREs were repeated\n`,
      );
    },
    limitMs(240_000, 3_600_000),
  );
});
