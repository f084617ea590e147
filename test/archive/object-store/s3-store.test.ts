import { randomBytes } from 'node:crypto';
import { describe } from 'vitest';
import { createS3Store } from '../../../src/archive/object-store/s3-store.ts';
import { createLog } from '../../../src/log.ts';
import { objectStoreContract } from '../../contracts/object-store.contract.ts';
import { peer } from '../../support/peers.ts';
import { sharedS3 } from '../../support/shared-peers.ts';

describe.skipIf(!peer('s3'))('the S3 store keeps the contract (s3)', () => {
  objectStoreContract(async () => {
    const access = await sharedS3();
    const store = createS3Store({
      ...access,
      bucket: `contract-${randomBytes(4).toString('hex')}`,
      log: createLog('warn', 's3'),
    });
    await store.start();
    return { store, stop: () => store.stop() };
  });
});
