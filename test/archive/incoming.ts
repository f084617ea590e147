/** Made-up objects as the settler hands them to the index, their bytes taken for placed. */
import { randomUUID } from 'node:crypto';
import type { IncomingObject } from '../../src/archive/incoming-object.ts';
import { HeaderReading } from '../../src/archive/intake/prepare-object.ts';
import type { Provenance } from '../../src/archive/intake/record.ts';
import { objectKey } from '../../src/archive/object-key.ts';
import { indexObjects } from '../../src/archive/study-index.ts';
import type { AnObject } from '../support/an-object.ts';
import type { TestDatabase } from '../support/database.ts';

export const aReception = (more: Partial<Provenance> = {}): Provenance => ({
  reception: randomUUID(),
  kind: 'dimse',
  callingAe: 'CT_1',
  calledAe: 'ISOCENTER',
  address: '127.0.0.1',
  openedAt: new Date().toISOString(),
  ...more,
});

export function incoming(object: AnObject, from = aReception()): IncomingObject {
  const reading = new HeaderReading(object.declared.transferSyntaxUid);
  reading.push(object.dataSet);
  const { scan, header } = reading.end();
  const identity = {
    sopClassUid: object.declared.sopClassUid,
    sopInstanceUid: object.sop,
    studyInstanceUid: object.study,
    seriesInstanceUid: object.series,
  };
  const contentHash = Buffer.from(object.contentHash, 'hex');
  return {
    ...identity,
    transferSyntaxUid: object.declared.transferSyntaxUid,
    contentHash,
    length: object.dataSet.length + 400,
    dataSetOffset: 400,
    pixel: scan.pixelData,
    key: objectKey({ ...identity, contentHash }),
    place: { in: 'store' },
    receivedAt: new Date().toISOString(),
    from,
    header,
  };
}

export async function index(db: TestDatabase, objects: AnObject[], from = aReception()): Promise<string[]> {
  const batch = objects.map((object) => incoming(object, from));
  return (await indexObjects(db.database, 'node-1', batch)).outcomes;
}
