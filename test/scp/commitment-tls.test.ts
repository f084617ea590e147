/** Reports of storage commitment to an AE that listens with TLS: whom we believe, and who we are. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readCommitmentReport } from '../../src/dimse/storage-commitment.ts';
import { anObject, CT } from '../support/an-object.ts';
import { type Authority, createAuthority } from '../support/certificates.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { sendObjects } from '../support/modality.ts';
import { peer } from '../support/peers.ts';
import { callingModality, type ListeningModality, listeningModality } from './committing-modality.ts';

describe.skipIf(!peer('openssl'))('a report over TLS (needs openssl)', () => {
  let folder: string;
  let authority: Authority;
  let house: House;
  let modality: ListeningModality | undefined;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'isocenter-tls-'));
    authority = await createAuthority(folder, 'hospital');
    const ours = await authority.issue('isocenter.example', { altNames: 'DNS:localhost' });
    house = await openHouse({
      DICOM_TLS_PORT: '0',
      DICOM_TLS_KEY: ours.key,
      DICOM_TLS_CERT: ours.cert,
      DICOM_TLS_CA: authority.cert,
      KNOWN_AES: 'CT1',
    });
  });
  afterAll(async () => {
    await house?.close();
    if (folder) await rm(folder, { recursive: true, force: true });
  });
  afterEach(() => modality?.close());

  /** Takes calls of whoever the hospital's authority signed, and of nobody else. */
  async function listening(signedBy: Authority): Promise<ListeningModality> {
    const theirs = await signedBy.issue('ct1.example', { altNames: 'DNS:ct1.example' });
    modality = await listeningModality('CT1', {
      secure: {
        key: await readFile(theirs.key),
        cert: await readFile(theirs.cert),
        ca: await readFile(authority.cert),
        requestCert: true,
        rejectUnauthorized: true,
      },
    });
    return modality;
  }

  const call = async (where: string, body?: object): Promise<Record<string, unknown>[]> => {
    const response = await fetch(`${house.url}/api${where}`, {
      method: body ? 'PUT' : 'GET',
      ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    return (await response.json()) as Record<string, unknown>[];
  };
  const at = (port: number, more: object) => ({ aeTitle: 'CT1', host: '127.0.0.1', port, ...more });

  /** Stores, asks, and is gone before the report. */
  async function askAndLeave(): Promise<{ transactionUid: string; sop: string }> {
    const object = anObject({ pixels: 3 });
    await sendObjects(house, 'CT1', [object]);
    const { association, ask } = await callingModality(house.dicomPort, 'CT1');
    const { transactionUid } = await ask([{ sopClassUid: CT, sopInstanceUid: object.sop }]);
    association.abort();
    return { transactionUid, sop: object.sop };
  }
  const requestOf = async (transaction: string, found: (request: Record<string, unknown>) => boolean) =>
    eventually(
      async () =>
        (await call('/commitments?ae=CT1')).find((one) => one.transaction === transaction && found(one)),
      'the request',
    );

  it('arrives where the certificate is of DICOM_TLS_CA and has the name, and shows ours', async () => {
    const { port, heard } = await listening(authority);
    await call('/aes/ct1', at(port, { hostTls: true, serverName: 'ct1.example' }));
    const { transactionUid, sop } = await askAndLeave();
    await requestOf(transactionUid, ({ state }) => state === 'reported');
    expect(readCommitmentReport(heard[0]!.operation)).toMatchObject({
      transactionUid,
      committed: [{ sopInstanceUid: sop }],
    });
  });

  it('is not made in the clear to an AE that is held to TLS, and says why it waits', async () => {
    modality = await listeningModality('CT1');
    // KNOWN_AES lets it ask without.
    await call('/aes/ct1', at(modality.port, { tls: 'required' }));
    const { transactionUid } = await askAndLeave();
    const { lastError } = await requestOf(transactionUid, (one) => one.lastError !== null);
    expect(lastError).toMatch(/^CT1 at 127\.0\.0\.1:\d+ cannot be reached: /);
    expect(modality.heard).toEqual([]);
  });

  it.each([
    [
      'its certificate has another name',
      { serverName: 'other.example' },
      /is for another name: DNS:ct1\.example/,
    ],
    ['its certificate is of a stranger', { serverName: 'ct1.example' }, /authority that we do not trust/],
  ])('waits in words where %s', async (_, more, words) => {
    const stranger = await createAuthority(folder, 'stranger');
    const { port, heard } = await listening(
      'serverName' in more && /other/.test(more.serverName) ? authority : stranger,
    );
    await call('/aes/ct1', at(port, { hostTls: true, ...more }));
    const { transactionUid } = await askAndLeave();
    const { lastError } = await requestOf(transactionUid, (one) => one.lastError !== null);
    expect(lastError).toMatch(words);
    expect(heard).toEqual([]);
  });

  it('is set in words that make sense', async () => {
    expect(await call('/aes/ct1', { aeTitle: 'CT1', hostTls: true })).toMatchObject({
      message: expect.stringContaining('host: expected with hostTls and serverName'),
    });
  });
});
