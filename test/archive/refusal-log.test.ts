/** What the doors refuse is counted at once and listed soon: once for the same fault, within bounds, also after an outage. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Refusal } from '../../src/archive/refusal.ts';
import { createRefusalLog, type RefusalLog } from '../../src/archive/refusal-log.ts';
import { Failure } from '../../src/failure.ts';
import { createLog } from '../../src/log.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
beforeEach(() => db.database.query('truncate refusal'));
afterAll(() => db?.drop());

const log = createLog('silent', 'test');
const opened = (most?: number): RefusalLog =>
  createRefusalLog({ database: db.database, log, ...(most === undefined ? {} : { most }) });
const refusal = (wanted: Partial<Refusal> = {}): Refusal => ({
  what: 'object',
  code: 'unreadable',
  callingAe: 'CT_1',
  calledAe: 'ISOCENTER',
  address: '10.0.0.5',
  status: 0xc000,
  reason: '(0020,000D) StudyInstanceUID is missing',
  ...wanted,
});
const rows = async () =>
  (
    await db.database.query<{ calling_ae: string; times: number; sop_uid: string; reason: string }>(
      'select calling_ae, times, sop_uid, reason from refusal order by id',
    )
  ).rows;

describe('refusals', () => {
  it('of the same fault and sender are one row, with a count and the last object', async () => {
    const refusals = opened();
    for (let n = 1; n <= 1000; n++)
      refusals.record(
        refusal({
          sopUid: `1.2.${n}`,
          reason: `truncated inside (7FE0,0010) PixelData: ${n} bytes of 9000 present`,
        }),
      );
    refusals.record(refusal({ sopUid: '1.2.7' }));
    refusals.record(refusal({ sopUid: '1.2.7', reason: '(0020,000E) SeriesInstanceUID is missing' }));
    refusals.record(refusal({ sopUid: '1.2.7', callingAe: 'CT_2' }));
    await refusals.stop();
    const again = opened();
    again.record(refusal({ sopUid: '1.2.8' }));
    await again.stop();
    const found = await rows();
    expect(found.map(({ times }) => times).sort((a, b) => a - b)).toEqual([1, 1, 2, 1000]);
    expect(found.find(({ times }) => times === 1000)).toMatchObject({ sop_uid: '1.2.1000' });
    expect(found.find(({ times }) => times === 2)).toMatchObject({ sop_uid: '1.2.8' });
  });

  it('are counted by what was refused and why', () => {
    const refusals = opened();
    refusals.record(refusal());
    refusals.record(refusal({ what: 'association', code: 'malformed' }));
    refusals.record(refusal({ what: 'association', code: 'malformed', address: '10.0.0.6' }));
    expect(refusals.counts().filter(({ count }) => count > 0)).toEqual([
      { what: 'association', code: 'malformed', count: 2 },
      { what: 'object', code: 'unreadable', count: 1 },
    ]);
    expect(refusals.counts().length).toBeLessThan(50); // each is a series at Prometheus
    return refusals.stop();
  });

  it('of a sender that invents names push out its own rows, not those of others', async () => {
    const refusals = opened();
    refusals.record(refusal({ address: '10.0.0.9' }));
    for (let n = 0; n < 1500; n++) refusals.record(refusal({ callingAe: `X${n}\0` }));
    await refusals.stop();
    const { rows: of } = await db.database.query(
      'select address, count(*) as n from refusal group by address order by 1',
    );
    expect(of).toEqual([
      { address: '10.0.0.5', n: 1000 },
      { address: '10.0.0.9', n: 1 },
    ]);
  });

  it('wait while Postgres is away, up to a bound; what does not fit is counted', async () => {
    let away = true;
    const database = {
      transaction: (async (work) => {
        if (away) throw new Failure('unavailable', 'Postgres is away');
        return db.database.transaction(work);
      }) as TestDatabase['database']['transaction'],
    };
    const refusals = createRefusalLog({ database, log, most: 3 });
    for (let n = 0; n < 5; n++) refusals.record(refusal({ callingAe: `CT_${n}` }));
    refusals.record(refusal({ callingAe: 'CT_0' }));
    await new Promise((resolve) => setTimeout(resolve, 700)); // one attempt failed meanwhile, or none was made: both must do
    refusals.record(refusal({ callingAe: 'CT_0' }));
    expect(refusals.unlisted()).toBe(2);
    away = false;
    await refusals.stop();
    expect((await rows()).map(({ times }) => times).sort((a, b) => a - b)).toEqual([1, 1, 3]);
  });
});
