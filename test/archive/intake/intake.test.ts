/** What lies in the journal folder when the program starts anew with other settings. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anObject } from '../../support/an-object.ts';
import { type House, openHouse } from '../../support/house.ts';
import { fileOf, multipart, originalDataSet, sendObjects, stow } from '../../support/modality.ts';

describe('fewer RECEIVERS than before', () => {
  let house: House;
  beforeAll(async () => {
    house = await openHouse({ RECEIVERS: '3' });
  });
  afterAll(() => house?.close());
  const folder = (name: string): string => join(house.dataFolder, 'journal', name);
  const segments = (name: string): string[] =>
    readdirSync(folder(name))
      .filter((file) => file.endsWith('.seg'))
      .sort();

  it('leave no segments behind that nobody writes to, and keep those of the others', async () => {
    const object = anObject();
    await sendObjects(house, 'CT_1', [object]);
    // The web door's journal comes with the first STOW.
    expect((await stow(house, multipart([fileOf(anObject())]))).status).toBe(200);
    await house.restart();
    const before = ['receiver-0', 'receiver-1', 'receiver-2', 'web'].map((name) => segments(name));
    expect(before.every((files) => files.length > 0)).toBe(true);
    await house.restart({ RECEIVERS: '1' });
    expect(['receiver-1', 'receiver-2'].map((name) => existsSync(folder(name)))).toEqual([false, false]);
    // The first of each is whole; the last may be one that was still being prepared.
    expect(segments('receiver-0')).toContain(before[0]![0]);
    expect(segments('web')).toContain(before[3]![0]);
    expect((await originalDataSet(house, object.sop)).equals(object.dataSet)).toBe(true);
  });
});
