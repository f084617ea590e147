import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { threadEnd } from '../src/thread.ts';
import { anImage } from './support/an-image.ts';
import { eventually, openHouse } from './support/house.ts';
import { fileOf, multipart, sendObjects, stow } from './support/modality.ts';

const TAKES_ITS_TIME = `setTimeout(() => undefined, 200)`;
const NEVER_ENDS = `setInterval(() => undefined, 1000)`;
const started = (code: string): Worker => new Worker(code, { eval: true });

afterEach(() => vi.restoreAllMocks());

describe('the end of a thread', () => {
  it('is waited for, and nobody terminates it', async () => {
    const terminate = vi.spyOn(Worker.prototype, 'terminate');
    expect(await threadEnd(started(TAKES_ITS_TIME), 30_000)).toBe(true);
    expect(terminate).not.toHaveBeenCalled();
  });

  it('is known when it is long past', async () => {
    const thread = started('');
    await new Promise((resolve) => thread.once('exit', resolve));
    expect(await threadEnd(thread, 30_000)).toBe(true);
  });

  it('is made, of one that does not end in time', async () => {
    const thread = started(NEVER_ENDS);
    const ended = new Promise((resolve) => thread.once('exit', resolve));
    expect(await threadEnd(thread, 100)).toBe(false);
    await ended;
  });
});

describe('a house that stops', () => {
  it('terminates none of its threads: receivers, settler, web intake, those that compare and render', async () => {
    const house = await openHouse();
    try {
      const rows = async (sql: string) => (await house.db.database.query(sql)).rows;
      const first = anImage();
      await sendObjects(house, 'CT_1', [first, anImage({ ...first, change: 1 })]);
      expect((await stow(house, multipart([fileOf(anImage())]))).status).toBe(200);
      await eventually(
        async () => ((await rows('select 1 from comparison')).length === 0 ? true : undefined),
        'the end of the comparison',
      );
      const { study, series, sop } = first;
      const rendered = await fetch(
        `${house.url}/dicom-web/studies/${study}/series/${series}/instances/${sop}/rendered`,
      );
      expect(rendered.status).toBe(200);
    } finally {
      const terminate = vi.spyOn(Worker.prototype, 'terminate');
      await house.close();
      expect(terminate).not.toHaveBeenCalled();
    }
  });
});
