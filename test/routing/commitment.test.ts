/** What a report of storage commitment changes in the ledger, and what it does not. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createCommitmentLedger } from '../../src/routing/commitment.ts';
import { createLedger } from '../../src/routing/ledger.ts';
import { reopen } from '../../src/routing/reopen.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';

let db: TestDatabase;
beforeEach(async () => {
  db = await testDatabase();
});
afterEach(() => db.drop());

const NO_SUCH_INSTANCE = 0x0112;
const state = async () =>
  (
    await db.database.query<{ state: string; commitment: string | null }>(
      'select state, commitment from delivery_instance',
    )
  ).rows[0]!;

/** One instance that a peer took and was asked to commit to. */
async function asked() {
  const { database } = db;
  const settings = {
    ...{ kind: 'dimse', host: 'h', port: 1, aeTitle: 'A', maxAssociations: 1, enabled: true },
    commitment: { enabled: true, waitS: 60, tries: 3 },
  };
  await database.query(
    `insert into destination (name, kind, settings, enabled) values ('pacs', 'dimse', $1, true)`,
    [JSON.stringify(settings)],
  );
  await database.query(`insert into delivery (study_uid, destination) values ('1.2', 'pacs')`);
  await database.query(
    `insert into delivery_instance (delivery, sop_uid, content_hash, object)
     select id, '1.2.3', decode('00', 'hex'), 1 from delivery`,
  );
  const ledger = createLedger({ database, nodeName: 'one' });
  const commitments = createCommitmentLedger({ database });
  const { lease } = (await ledger.claim())!;
  const [{ id } = { id: 0 }] = await ledger.owedInstances(lease, 0, 1);
  await ledger.writeOutcomes(lease, [{ id, state: 'delivered', status: 0 }]);
  await commitments.begin(lease, '2.25.7', [id]);
  await commitments.asked('2.25.7');
  await ledger.finish(lease, { kind: 'await', waitMs: 60_000 });
  return { commitments, delivery: lease.delivery };
}

const reference = { sopClassUid: '1.2.840.10008.5.1.4.1.1.2', sopInstanceUid: '1.2.3' };
const committed = { transactionUid: '2.25.7', committed: [reference], failed: [] };

test('a report is taken, also of what an earlier one said is not there', async () => {
  const { commitments } = await asked();
  const failed = [{ ...reference, reason: NO_SUCH_INSTANCE }];
  await commitments.report({ transactionUid: '2.25.7', committed: [], failed });
  expect(await state()).toEqual({ state: 'owed', commitment: null });
  expect(await commitments.report(committed)).toBe(true);
  expect(await state()).toEqual({ state: 'delivered', commitment: 'committed' });
});

test('a report of before is none of what a person sends again since', async () => {
  const { commitments, delivery } = await asked();
  await db.database.query(`update delivery_instance set state = 'owed'`);
  await reopen(db.database, [delivery]);
  expect(await commitments.report(committed)).toBe(true);
  expect(await state()).toEqual({ state: 'owed', commitment: null });
});
