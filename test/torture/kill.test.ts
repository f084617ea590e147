/**
 * kill -9 of the whole program at random moments while modalities and a STOW client send: in the middle of an
 * association, while it starts and replays, while it drains. The same data folder goes through all of it, and after
 * each restart every object that was ever acknowledged is owed.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { launchProgram, type Program, postgresOf } from '../support/program.ts';
import { chance } from './chance.ts';
import { killIn } from './kill-in.ts';
import { ownProgram } from './own-program.ts';
import { limitMs, times } from './scale.ts';
import { type Owed, openBook, startSenders } from './senders.ts';
import { filesIn, halfWritten, liveSegments, lostOrChanged } from './what-is-there.ts';

const KILLS = times(12, 200);
const ASSOCIATIONS = 4;

/**
 * What it is doing when it is killed. The first is its first start ever; the other starts come after a kill while
 * sending, so there is something to replay.
 */
const MOMENTS = ['starting', 'sending', 'starting', 'sending', 'starting', 'draining'] as const;

const random = chance();
const book = openBook();
const killed = { sending: 0, starting: 0, draining: 0, replaying: 0 };
/** Acknowledged, and not asked for since. */
const fresh = new Map<string, Owed>();

const own = ownProgram('kill');

/** Starts it whole, and looks at what the kills before have left. */
async function startAndLook(): Promise<Program> {
  const before = liveSegments(join(own.dataFolder, 'journal'));
  const program = await own.start();
  expect(await halfWritten(own.dataFolder, book, before)).toEqual([]);
  expect(await lostOrChanged(program, fresh.values())).toEqual([]);
  fresh.clear();
  return program;
}

/** Sends until `stopAt` has come about, and notes what was acknowledged. */
async function sendWhile(
  to: { dicomPort: number; url?: string },
  stopAt: (acknowledged: () => number) => Promise<void>,
): Promise<void> {
  const known = new Set(book.owed.keys());
  const before = book.acknowledgements;
  const largeFirst = random.happens(0.4);
  const senders = startSenders({ associations: ASSOCIATIONS, ...to, book, chance: random, largeFirst });
  try {
    await stopAt(() => book.acknowledgements - before);
  } finally {
    await senders.stop();
  }
  for (const [sop, owed] of book.owed) if (!known.has(sop)) fresh.set(sop, owed);
}

/** At least one, so that the kill can find something to lose. */
async function somethingAcknowledged(acknowledged: () => number): Promise<void> {
  for (const until = Date.now() + 30_000; acknowledged() === 0; await sleep(2))
    if (Date.now() > until) throw new Error(`nothing is acknowledged:\n${own.last().child.output()}`);
}

const whileItIs = {
  async sending(): Promise<void> {
    const program = await startAndLook();
    await sendWhile(program, async (acknowledged) => {
      await somethingAcknowledged(acknowledged);
      await killIn(program.child.pid, random.whole(0, 1500));
      await program.child.exited;
    });
  },

  async starting(): Promise<void> {
    const earlier = liveSegments(join(own.dataFolder, 'journal'));
    const dicomPort = await freePort();
    const child = await launchProgram({ dataFolder: own.dataFolder, env: { DICOM_PORT: String(dicomPort) } });
    await sendWhile({ dicomPort }, async () => {
      await killIn(child.pid, random.whole(0, 2500));
      await child.exited;
    });
    const left = liveSegments(join(own.dataFolder, 'journal'));
    if ([...earlier].some(([name, nonce]) => left.get(name) === nonce)) killed.replaying++;
  },

  async draining(): Promise<void> {
    const program = await startAndLook();
    await sendWhile(program, async (acknowledged) => {
      await somethingAcknowledged(acknowledged);
      await sleep(random.whole(0, 800));
      program.child.signal('SIGTERM');
      await killIn(program.child.pid, random.whole(0, 1500));
      await program.child.exited;
    });
  },
};

describe('killed while modalities and a STOW client send', () => {
  it(
    `${KILLS} times, it has every object it acknowledged, once and whole, and nothing half-written`,
    async () => {
      process.stdout.write(`kill: TORTURE_SEED=${random.seed}\n`);
      for (let turn = 0; turn < KILLS; turn++) {
        const moment = MOMENTS[turn % MOMENTS.length]!;
        try {
          await whileItIs[moment]();
        } catch (cause) {
          throw new Error(`kill ${turn + 1}, while ${moment}, TORTURE_SEED=${random.seed}`, { cause });
        }
        killed[moment]++;
      }
      const program = await startAndLook();
      expect(await lostOrChanged(program, book.owed.values())).toEqual([]);
      expect(book.refusals).toEqual([]);
      expect(book.owed.size).toBeGreaterThan(KILLS);
      process.stdout.write(
        `kill: ${KILLS} kills (${killed.sending} while sending, ${killed.starting} while starting, of them ` +
          `${killed.replaying} with a replay unfinished, ${killed.draining} while draining); ` +
          `${book.acknowledgements} Successes for ${book.owed.size} objects, ${book.large} of them larger than a ` +
          `segment; all found, with their bytes\n`,
      );
    },
    limitMs(300_000, 3_600_000),
  );

  it('QIDO lists each of them once, in its study', async () => {
    const studies = Map.groupBy(book.owed.values(), ({ study }) => study);
    for (const [study, owed] of studies) {
      const answer = await fetch(`${own.last().url}/dicom-web/studies/${study}/instances?limit=5000`);
      const instances = (await answer.json()) as Record<string, { Value: string[] }>[];
      const listed = instances.map((instance) => instance['00080018']!.Value[0]!);
      expect(new Set(listed).size).toBe(listed.length);
      const known = new Set(listed);
      expect(owed.filter(({ sop }) => !known.has(sop))).toEqual([]);
    }
  }, 600_000);

  it('SIGTERM then drains: exit code 0, no segment in use, and its Postgres goes with it', async () => {
    expect(postgresOf(own.dataFolder).length).toBeGreaterThan(0);
    const { child } = own.last();
    child.signal('SIGTERM');
    expect(await child.exited).toBe(0);
    expect(child.output()).toContain('SIGTERM: finishing what is under way');
    expect(postgresOf(own.dataFolder)).toEqual([]);
    expect([...liveSegments(join(own.dataFolder, 'journal')).keys()]).toEqual([]);
    expect(filesIn(join(own.dataFolder, 'journal'), '.obj')).toEqual([]);
    expect(readFileSync(join(own.dataFolder, 'node'), 'utf8')).toMatch(/^node-/);
  });
});
