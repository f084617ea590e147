/**
 * kill -9 of the whole program while every image of a study comes a second time with other content, under
 * CONFLICT_POLICY=replace: whatever was under way, each image has one current version afterwards, nothing that was
 * acknowledged of either version is gone, and what is counted is there.
 */
import { expect, it } from 'vitest';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { type AnObject, anObject, uid } from '../support/an-object.ts';
import { eventually } from '../support/house.ts';
import { sendObjects } from '../support/modality.ts';
import { openEmbedded, type Program } from '../support/program.ts';
import { chance } from './chance.ts';
import { ownProgram } from './own-program.ts';
import { limitMs, times } from './scale.ts';

const ROUNDS = times(3, 40);
const IMAGES = 60;
const random = chance();

const own = ownProgram('kill-replace', { CONFLICT_POLICY: 'replace' });

/** @returns the objects that were answered Success before the connection broke */
async function sendUntilCut(program: Program, objects: AnObject[]): Promise<AnObject[]> {
  const acknowledged: AnObject[] = [];
  // Associations of a few objects, so that what was answered is known.
  for (let at = 0; at < objects.length; at += 5) {
    const some = objects.slice(at, at + 5);
    try {
      const answers = await sendObjects(program, 'CT_1', some);
      acknowledged.push(...some.filter((_, n) => answers[n]!.status === 0));
    } catch {
      return acknowledged; // cut by the kill: nothing is said of these
    }
  }
  return acknowledged;
}

async function stored(program: Program, { sop, contentHash }: AnObject): Promise<Buffer> {
  const response = await fetch(`${program.url}/api/instances/${sop}/original?version=${contentHash}`);
  const file = Buffer.from(await response.arrayBuffer());
  return response.ok ? file.subarray(readFileMeta(file).dataSetOffset) : Buffer.alloc(0);
}

it(
  `${ROUNDS} times, each image has one current version and none is lost`,
  async () => {
    process.stdout.write(`kill-replace: TORTURE_SEED=${random.seed}\n`);
    for (let round = 0; round < ROUNDS; round++) {
      let program = await own.start();
      const study = uid();
      const firsts = Array.from({ length: IMAGES }, () => anObject({ study }));
      const seconds = firsts.map((first) => anObject({ ...first, pixels: round + 1 }));
      expect(await sendUntilCut(program, firsts)).toHaveLength(IMAGES);
      const sending = sendUntilCut(program, seconds);
      setTimeout(() => process.kill(program.child.pid, 'SIGKILL'), random.whole(0, 600));
      const acknowledged = await sending;
      await program.child.exited;

      program = await own.start();
      for (const object of [...firsts, ...acknowledged])
        expect((await stored(program, object)).equals(object.dataSet)).toBe(true);
      const look = await openEmbedded(own.dataFolder);
      try {
        const { rows } = await look.query(
          `select count(*)::int as images, count(*) filter (where (select count(*) from object o
               where o.sop_uid = i.sop_uid and o.role = 'current') = 1)::int as one,
             max(s.instance_count) as counted
           from instance i join series e on e.id = i.series join study s on s.id = e.study
           join object c on c.id = i.object and c.role = 'current' where s.study_uid = $1`,
          [study],
        );
        expect(rows).toEqual([{ images: IMAGES, one: IMAGES, counted: IMAGES }]);
        const { rows: current } = await look.query<{ hash: string }>(
          "select encode(content_hash, 'hex') as hash from object where role = 'current' and study_uid = $1",
          [study],
        );
        const hashes = new Set(current.map(({ hash }) => hash));
        // What was acknowledged last is what is shown.
        for (const { contentHash } of acknowledged) expect(hashes).toContain(contentHash);
        expect(await sendUntilCut(program, seconds)).toHaveLength(IMAGES);
        await eventually(async () => {
          const { rows: left } = await look.query(
            "select 1 from object where role = 'current' and study_uid = $1 and not (encode(content_hash, 'hex') = any($2))",
            [study, seconds.map(({ contentHash }) => contentHash)],
          );
          return left.length === 0 ? true : undefined;
        }, 'every second version to be current');
      } finally {
        await look.end();
      }
      await program.child.stop(20_000);
    }
  },
  limitMs(240_000, 3_000_000),
);
