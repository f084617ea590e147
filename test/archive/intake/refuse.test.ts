/** CONFLICT_POLICY=refuse in the intake: no answer before the verdict, and nothing that was answered ever goes. */
import { expect, it } from 'vitest';
import { type AnObject, anObject } from '../../support/an-object.ts';
import { type Rig, rigsOfTests, store } from './rig.ts';

const open = rigsOfTests();
const rig = (storeLimitMs = 20_000): Promise<Rig> => open({ conflictPolicy: 'refuse', storeLimitMs });

const pair = (): [AnObject, AnObject] => {
  const first = anObject();
  return [first, anObject({ ...first, pixels: 1 })];
};

async function keys(r: Rig): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of r.store.list()) found.push(key);
  return found;
}
const rolesOf = async (r: Rig): Promise<unknown[]> =>
  (await r.db.database.query('select role from object order by id')).rows.map(({ role }) => role);

it('says Success to the first, to its repetition, and no to other content, of which nothing is placed', async () => {
  const r = await rig();
  const run = r.settle();
  const journal = r.journal();
  const reception = journal.open();
  const [first, second] = pair();
  await reception.acknowledged(store(reception, first));
  await reception.acknowledged(store(reception, first));
  await expect(reception.acknowledged(store(reception, second))).rejects.toMatchObject({
    kind: 'conflict',
    message: expect.stringContaining('(0008,0018)'),
  });
  await reception.acknowledged(store(reception, anObject({ study: first.study })));
  journal.close();
  await run.stop();
  expect(await rolesOf(r)).toEqual(['current', 'current']);
  expect(await keys(r)).toHaveLength(2);
});

it('says no verdict while nobody can give one: to be sent again, and the same then', async () => {
  const r = await rig(200);
  const [first] = pair();
  const before = r.journal('before');
  const reception = before.open();
  await expect(reception.acknowledged(store(reception, first))).rejects.toMatchObject({
    kind: 'unavailable',
    retryAfterS: expect.any(Number),
  });
  before.die();
  const run = r.settle();
  await run.replayed;
  const journal = r.journal();
  const again = journal.open();
  await again.indexed(20_000);
  store(again, first);
  await again.indexed(20_000);
  journal.close();
  await run.stop();
  expect(await rolesOf(r)).toEqual(['current']);
});

it('after a crash judges anew what nobody was answered: the first is kept, other content is not', async () => {
  const r = await rig(200);
  const [first, second] = pair();
  const crashed = r.journal('crashed');
  const waits = crashed.open();
  for (const object of [first, second])
    await expect(waits.acknowledged(store(waits, object))).rejects.toMatchObject({ kind: 'unavailable' });
  crashed.die();
  const run = r.settle();
  await run.replayed;
  await run.stop();
  expect(await rolesOf(r)).toEqual(['current']);
  expect(await keys(r)).toHaveLength(1);
});

it('tells all who wait for the comparison of one version, from however many associations it came', async () => {
  const r = await rig();
  const run = r.settle();
  const receptions = ['one', 'two', 'three']
    .map((name) => r.journal(name))
    .map((journal) => ({ journal, of: journal.open() }));
  const [first] = pair();
  const lossless = { ...first.declared, transferSyntaxUid: '1.2.840.10008.1.2.4.70' };
  await receptions[0]!.of.acknowledged(store(receptions[0]!.of, first));
  const answers = receptions.map(({ of }) => of.acknowledged(store(of, { ...first, declared: lossless })));
  for (const { of } of receptions) await of.indexed(20_000);
  // The comparison's part, which is not of this room: only the syntax differs.
  await r.db.database.query("update object set role = 'variant' where role = 'undecided'");
  await Promise.all(answers);
  for (const { journal } of receptions) journal.close();
  await run.stop();
  expect(await rolesOf(r)).toEqual(['current', 'variant']);
});
