/** GET /api/changes over the real archive: nothing left out, nothing twice, and nothing that can still be overtaken. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { appendChanges } from '../../src/archive/change-feed.ts';
import { stow } from '../dicomweb/door.ts';
import { madeObject } from '../dicomweb/made-object.ts';
import { eventually, type House, openHouse } from '../support/house.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse({ ALLOW_DELETE: '1' });
});
afterAll(() => house?.close());

interface Page {
  changes: { at: string; kind: string; study: string; series: string | null; sop: string | null }[];
  next: string;
  more: boolean;
}

const ask = (query = ''): Promise<Page> =>
  fetch(`${house.url}/api/changes${query}`).then((response) => response.json() as Promise<Page>);

/** Pages until `wanted` changes of the study have come. */
async function follow(study: string, since: string, wanted: number, limit = 2) {
  let next = since;
  const changes: Page['changes'] = [];
  await eventually(async () => {
    const page = await ask(`?since=${next}&limit=${limit}`);
    next = page.next;
    changes.push(...page.changes.filter((change) => change.study === study));
    return changes.length >= wanted ? true : undefined;
  }, `${wanted} changes of ${study}`);
  return { changes, next };
}

describe('the change feed over HTTP', () => {
  it('tells what is stored, and that it is stable, page by page', async () => {
    const { next: start, changes } = await ask('?since=latest');
    expect(changes).toEqual([]);
    const files = [1, 2, 3].map((n) => madeObject({ study: '9.1', instance: `9.1.1.${n}` }));
    await stow(house.url, files);
    const followed = await follow('9.1', start, 4);
    expect(followed.changes.map(({ kind, sop }) => [kind, sop])).toEqual([
      ['instance-stored', '9.1.1.1'],
      ['instance-stored', '9.1.1.2'],
      ['instance-stored', '9.1.1.3'],
      ['study-stable', null],
    ]);
    expect(Date.parse(followed.changes[0]!.at)).toBeGreaterThan(Date.now() - 600_000);
    expect(await ask(`?since=${followed.next}`)).toEqual({ changes: [], next: followed.next, more: false });
    const whole = await ask('?limit=1000');
    expect(whole.changes.filter(({ study }) => study === '9.1')).toEqual(followed.changes);
  });

  it('tells what is deleted', async () => {
    const { next } = await ask('?since=latest');
    await stow(house.url, [madeObject({ study: '9.2', instance: '9.2.1.1' })]);
    await eventually(async () => {
      const { status } = await fetch(`${house.url}/dicom-web/studies/9.2`, { method: 'DELETE' });
      return status === 204 ? true : undefined;
    }, 'the deletion');
    const { changes } = await follow('9.2', next, 3, 100);
    expect(changes.map(({ kind }) => kind).filter((kind) => kind !== 'study-stable')).toEqual([
      'instance-stored',
      'instance-deleted',
      'study-deleted',
    ]);
    const list = (await (await fetch(`${house.url}/api/deletions?study=9.2`)).json()) as object[];
    expect(list).toMatchObject([{ by: 'anonymous', study: '9.2', series: null, instances: 1 }]);
  });

  it('does not pass a change that is not committed', async () => {
    const { next } = await ask('?since=latest');
    const change = (studyUid: string) => ({ kind: 'study-stable' as const, studyUid, studyVersion: 1 });
    const hold = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const late = house.db.database.transaction(async (tx) => {
      await appendChanges(tx, [change('9.3')]);
      begun.resolve();
      await hold.promise;
    });
    await begun.promise;
    await house.db.database.transaction((tx) => appendChanges(tx, [change('9.4')]));
    expect((await ask(`?since=${next}`)).changes.map(({ study }) => study)).not.toContain('9.4');
    hold.resolve();
    await late;
    const { changes } = await follow('9.4', next, 1, 1000);
    expect(changes).toHaveLength(1);
    const both = (await ask(`?since=${next}&limit=1000`)).changes.map(({ study }) => study);
    expect(both.indexOf('9.3')).toBeLessThan(both.indexOf('9.4'));
  });

  it.each([
    'since=yesterday',
    'since=1-2-3',
    'limit=0',
    'limit=1001',
    'from=1',
    'since=99999999999999999999-1',
  ])('refuses %s in words', async (query) => {
    const response = await fetch(`${house.url}/api/changes?${query}`);
    expect([response.status, ((await response.json()) as { message: string }).message]).toEqual([
      400,
      expect.stringContaining(query.split('=')[0]!),
    ]);
  });
});
