/** The change feed: no commit order, no crash and no second follower makes a follower miss or double a change. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  appendChanges,
  type Change,
  type ChangeKind,
  createFollower,
  followOnce,
} from '../../src/archive/change-feed.ts';
import type { Queryable } from '../../src/archive/database/database.ts';
import { createLog } from '../../src/log.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { eventually } from '../support/house.ts';

let db: TestDatabase;
const log = createLog('silent', 'test');
beforeEach(async () => {
  db = await testDatabase();
  // Where a follower writes what it handled, in its own transaction.
  await db.database.query('create table handled (follower text, change bigint)');
});
afterEach(() => db.drop());

const change = (studyUid: string, kind: ChangeKind = 'instance-stored') => ({
  kind,
  studyUid,
  studyVersion: 1,
});

function follower(name = 'f', kinds: ChangeKind[] = ['instance-stored'], batch?: number) {
  const seen: string[] = [];
  return {
    seen,
    parts: {
      database: db.database,
      name,
      kinds,
      log,
      ...(batch === undefined ? {} : { batch }),
      async handle(tx: Queryable, changes: Change[]) {
        for (const { id, studyUid } of changes) {
          seen.push(studyUid);
          await tx.query('insert into handled values ($1, $2)', [name, id]);
        }
      },
    },
  };
}

/** Follows until nothing more comes: other suites in the same server may hold the horizon back for a moment. */
async function drain(parts: Parameters<typeof followOnce>[0], seen: string[], wanted: number): Promise<void> {
  await eventually(async () => {
    await followOnce(parts);
    return seen.length >= wanted ? true : undefined;
  }, `${wanted} changes`);
}

describe('a follower', () => {
  it('sees each change once where the numbers of transactions get a digit more', async () => {
    // One a transaction, 98 to 103: far below the horizon in any database.
    await db.database.query(
      `insert into change (xid, kind, study_uid, study_version)
       select (n + 97)::text::xid8, 'instance-stored', n::text, 1 from generate_series(1, 6) n`,
    );
    const { parts, seen } = follower('f', ['instance-stored'], 2);
    await drain(parts, seen, 6);
    expect(await followOnce(parts)).toBe(0);
    expect(seen).toEqual(['1', '2', '3', '4', '5', '6']);
  });

  it('sees a change whose lower transaction commits last, and in the order of transactions', async () => {
    const { parts, seen } = follower();
    const slow = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const late = db.database.transaction(async (tx) => {
      await appendChanges(tx, [change('late')]); // takes the lower xid and the lower id
      begun.resolve();
      await slow.promise;
    });
    await begun.promise;
    await db.database.transaction((tx) => appendChanges(tx, [change('early')]));
    // 'early' is committed, but what is below it is not: passing it now would skip 'late' for ever.
    expect(await followOnce(parts)).toBe(0);
    expect(seen).toEqual([]);
    slow.resolve();
    await late;
    await drain(parts, seen, 2);
    expect(seen).toEqual(['late', 'early']);
    expect(await followOnce(parts)).toBe(0);
  });

  it('sees a change whose id is lower than one it has passed', async () => {
    const { parts, seen } = follower();
    const { rows } = await db.database.query<{ id: number }>("select nextval('change_id_seq') as id");
    await db.database.transaction((tx) => appendChanges(tx, [change('first')]));
    await drain(parts, seen, 1);
    await db.database.query(
      `insert into change (id, kind, study_uid, study_version) overriding system value values ($1, $2, $3, 1)`,
      [rows[0]!.id, 'instance-stored', 'second'],
    );
    await drain(parts, seen, 2);
    expect(seen).toEqual(['first', 'second']);
  });

  it('handles only its kinds, passes the others, and starts where it was', async () => {
    await db.database.transaction((tx) =>
      appendChanges(tx, [change('a'), change('b', 'study-stable'), change('c'), change('d', 'study-held')]),
    );
    const one = follower('f', ['study-stable'], 1);
    await drain(one.parts, one.seen, 1);
    const again = follower('f', ['instance-stored']);
    await drain(again.parts, again.seen, 1);
    expect([one.seen, again.seen]).toEqual([['b'], ['c']]);
  });

  it('keeps its cursor when handling fails, with nothing written', async () => {
    await db.database.transaction((tx) => appendChanges(tx, [change('a'), change('b')]));
    const { parts, seen } = follower();
    let failed = 0;
    const failing = {
      ...parts,
      async handle(tx: Queryable, changes: Change[]) {
        await parts.handle(tx, changes);
        failed++;
        throw new Error('no');
      },
    };
    await eventually(async () => {
      await followOnce(failing).catch(() => undefined);
      return failed > 0 ? true : undefined;
    }, 'a failure');
    expect((await db.database.query('select * from handled')).rows).toEqual([]);
    seen.length = 0;
    await drain(parts, seen, 2);
    expect(seen).toEqual(['a', 'b']);
    expect((await db.database.query('select * from handled')).rows).toHaveLength(2);
  });

  it('goes on by itself after a failure, wakes at a change, and stops', async () => {
    const { parts, seen } = follower();
    let failures = 0;
    const shaky = createFollower({
      ...parts,
      async handle(tx, changes) {
        if (failures++ === 0) throw new Error('no');
        await parts.handle(tx, changes);
      },
    });
    await shaky.start();
    await db.database.transaction((tx) => appendChanges(tx, [change('a')]));
    await eventually(async () => (seen.length > 0 ? true : undefined), 'the change');
    await db.database.transaction((tx) => appendChanges(tx, [change('b')]));
    await eventually(async () => (seen.length > 1 ? true : undefined), 'the next change');
    await shaky.stop();
    await db.database.transaction((tx) => appendChanges(tx, [change('c')]));
    expect(seen).toEqual(['a', 'b']);
  });
});

describe('two followers of one name', () => {
  it('handle each change once between them', async () => {
    const many = Array.from({ length: 300 }, (_, n) => change(`s${n}`));
    const handlers = [1, 2, 3].map(() => follower('shared', ['instance-stored'], 7));
    const running = handlers.map(({ parts }) => createFollower(parts));
    await Promise.all(running.map((one) => one.start()));
    for (let n = 0; n < many.length; n += 10)
      await db.database.transaction((tx) => appendChanges(tx, many.slice(n, n + 10)));
    await eventually(async () => {
      const { rows } = await db.database.query('select count(*) as n from handled');
      return Number(rows[0]!.n) >= 300 ? true : undefined;
    }, 'all changes');
    await Promise.all(running.map((one) => one.stop()));
    const { rows } = await db.database.query(
      'select count(*) as n, count(distinct change) as d from handled',
    );
    expect(rows).toEqual([{ n: 300, d: 300 }]);
  });

  it('do not wait for each other: one that finds the cursor taken comes back later', async () => {
    await db.database.transaction((tx) => appendChanges(tx, [change('a')]));
    const held = Promise.withResolvers<void>();
    const inside = Promise.withResolvers<void>();
    const { parts } = follower();
    const slow = eventually(async () => {
      const passed = await followOnce({
        ...parts,
        async handle() {
          inside.resolve();
          await held.promise;
        },
      });
      return passed > 0 ? true : undefined;
    }, 'the slow one');
    await inside.promise;
    expect(await followOnce(parts)).toBe(0);
    held.resolve();
    await slow;
  });
});
