/**
 * The same object comes again by another way: from the modality, from a workstation with a longer AE title, by STOW.
 * It is one object (promise 7), and what was stored first stays readable to its last byte, in whatever order they come.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AnObject, anObject } from '../../support/an-object.ts';
import { type House, openHouse } from '../../support/house.ts';
import { fileOf, multipart, originalDataSet, sendObjects, stow } from '../../support/modality.ts';

describe('the same object from another sender', () => {
  let house: House;
  beforeAll(async () => {
    house = await openHouse();
  });
  afterAll(() => house?.close());

  type Way = (object: AnObject) => Promise<unknown>;
  const ways: Record<string, Way> = {
    'AE title CT1': (object) => sendObjects(house, 'CT1', [object]),
    'AE title WORKSTATION_0001': (object) => sendObjects(house, 'WORKSTATION_0001', [object]),
    STOW: (object) => stow(house, multipart([fileOf(object)])),
  };
  const pairs = Object.keys(ways).flatMap((first) =>
    Object.keys(ways)
      .filter((second) => second !== first)
      .map((second) => [first, second] as const),
  );

  it.each(pairs)('%s, then %s', async (first, second) => {
    const object = anObject({ pixelBytes: 4096 });
    await ways[first]!(object);
    const before = await original(object.sop);
    await ways[second]!(object);
    expect((await originalDataSet(house, object.sop)).equals(object.dataSet)).toBe(true);
    expect((await original(object.sop)).equals(before)).toBe(true);
    const frame = await fetch(
      `${house.url}/dicom-web/studies/${object.study}/series/${object.series}/instances/${object.sop}/metadata`,
    );
    expect(await frame.json()).toMatchObject([{ '00080018': { Value: [object.sop] } }]);
    const { rows } = await house.db.database.query(
      `select (select count(*)::int from object where sop_uid = $1) as objects,
              (select count(*)::int from conflict where sop_uid = $1) as conflicts,
              (select count(*)::int from change where sop_uid = $1) as changes`,
      [object.sop],
    );
    expect(rows).toEqual([{ objects: 1, conflicts: 0, changes: 1 }]);
  });

  async function original(sopUid: string): Promise<Buffer> {
    const response = await fetch(`${house.url}/api/instances/${sopUid}/original`);
    return Buffer.from(await response.arrayBuffer());
  }
});
