/** Credentials of destinations at rest: what lies in the database, who can open it, and what happens to who cannot. */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { createLedger } from '../../src/routing/ledger.ts';
import { createRoutingTable } from '../../src/routing/routing-table.ts';
import { createSealedSecrets, refuseSealed, type SecretsKeys } from '../../src/routing/sealed-secrets.ts';
import { secretsKeys } from '../../src/routing/secrets-key.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';

const log = createLog('silent', 'test');
const [first, second] = [
  'the first key of this test, long enough',
  'the second key of this test, long enough',
];
let db: TestDatabase;
beforeEach(async () => {
  db = await testDatabase();
});
afterEach(() => db.drop());

const cloud = (more: object = {}) => ({
  kind: 'stow',
  url: 'https://cloud.example/dicom-web',
  headers: { 'X-Api-Key': 'open sesame' },
  oauth: { tokenUrl: 'https://login.example/token', clientId: 'us', clientSecret: 'hush' },
  ...more,
});
const having = (keys: SecretsKeys) => {
  const secrets = createSealedSecrets(keys);
  const { database } = db;
  return {
    secrets,
    table: createRoutingTable({ database, log, secrets }),
    ledger: createLedger({ database, nodeName: 'n', secrets }),
  };
};
const inDatabase = async (): Promise<string> => {
  const { rows } = await db.database.query<{ text: string }>(
    `select string_agg(settings::text, ' ' order by name) as text from destination`,
  );
  return rows[0]!.text;
};

describe('the database', () => {
  test('holds no credential, and what is sent by has them', async () => {
    const { table, ledger } = having({ seal: first });
    expect(await table.putDestination('cloud', cloud(), 'me')).toBe(true);
    const text = await inDatabase();
    expect(text).not.toMatch(/open sesame|hush/);
    expect(text, 'the rest can be read').toContain('https://login.example/token');
    const opened = {
      headers: { 'X-Api-Key': 'open sesame' },
      oauth: expect.objectContaining({ clientSecret: 'hush' }),
    };
    expect((await table.destination('cloud'))?.settings).toMatchObject(opened);
    expect((await table.destinations())[0]?.settings).toMatchObject(opened);
    expect(await table.putDestination('cloud', cloud(), 'me'), 'the same again is no change').toBe(false);
    await db.database.query(`insert into delivery (study_uid, destination) values ('1.2', 'cloud')`);
    expect((await ledger.claim())?.destination.settings).toMatchObject(opened);
  });

  test('keeps a value that is moved to another destination, or changed, shut', async () => {
    const { table } = having({ seal: first });
    await table.putDestination('cloud', cloud(), 'me');
    await table.putDestination('evil', cloud({ url: 'https://evil.example', headers: { A: 'b' } }), 'them');
    await db.database.query(
      `update destination set settings = jsonb_set(settings, '{oauth,clientSecret}',
         (select settings #> '{oauth,clientSecret}' from destination where name = 'cloud')) where name = 'evil'`,
    );
    const { settings } = (await table.destination('evil'))!;
    expect(JSON.stringify(settings)).not.toContain('hush');
    expect(() => refuseSealed('evil', settings)).toThrow(/^oauth\.clientSecret of evil is sealed with a key/);
  });

  test('gives nobody what it seals: a sealed value is not taken for another host', async () => {
    const { table } = having({ seal: first });
    await table.putDestination('cloud', cloud(), 'me');
    const { rows } = await db.database.query<{ headers: object }>(
      `select settings -> 'headers' as headers from destination`,
    );
    const moved = cloud({ url: 'https://evil.example', headers: rows[0]!.headers, oauth: undefined });
    await expect(table.putDestination('cloud', moved, 'them')).rejects.toThrow(
      'headers.X-Api-Key: expected the value itself, not a sealed one',
    );
  });
});

describe('at the start', () => {
  test('what stands in the clear is sealed, and nobody has changed it', async () => {
    await having({ seal: undefined }).table.putDestination('cloud', cloud(), 'me');
    expect(await inDatabase()).toContain('hush');
    const before = await db.database.query('select changed_at, changed_by from destination');
    const { secrets, table } = having({ seal: first });
    await secrets.sealAll(db.database, log);
    const sealed = await inDatabase();
    expect(sealed).not.toMatch(/open sesame|hush/);
    expect((await table.destination('cloud'))?.settings).toMatchObject({
      headers: { 'X-Api-Key': 'open sesame' },
    });
    expect((await db.database.query('select changed_at, changed_by from destination')).rows).toEqual(
      before.rows,
    );
    await secrets.sealAll(db.database, log);
    expect(await inDatabase(), 'and not again').toBe(sealed);
  });

  test('what a key of before sealed is sealed with the one of now', async () => {
    await having({ seal: first }).table.putDestination('cloud', cloud(), 'me');
    await having({ seal: second, open: [first] }).secrets.sealAll(db.database, log);
    const { settings } = (await having({ seal: second }).table.destination('cloud'))!;
    expect(settings).toMatchObject({ headers: { 'X-Api-Key': 'open sesame' } });
  });
});

describe('without the key', () => {
  test('a value stays shut and is kept, until the key is back or the value is given anew', async () => {
    await having({ seal: first }).table.putDestination('cloud', cloud(), 'me');
    const { secrets, table } = having({ seal: second });
    await secrets.sealAll(db.database, log);
    const { settings } = (await table.destination('cloud'))!;
    expect(() => refuseSealed('cloud', settings)).toThrow(
      'headers.X-Api-Key of cloud is sealed with a key that this process has not got: start it with the SECRETS_KEY of before, or give the value anew',
    );
    const kept = cloud({ headers: { 'X-Api-Key': '(kept)' }, maxAssociations: 2 });
    await table.putDestination('cloud', kept, 'me');
    const back = (await having({ seal: first, open: [second] }).table.destination('cloud'))!;
    expect(back.settings).toMatchObject({ headers: { 'X-Api-Key': 'open sesame' }, maxAssociations: 2 });
    await table.putDestination('cloud', cloud({ headers: { 'X-Api-Key': 'new' } }), 'me');
    expect(() => refuseSealed('cloud', settings)).toThrow();
    const anew = (await table.destination('cloud'))!.settings;
    expect(() => refuseSealed('cloud', anew)).not.toThrow();
  });
});

describe('the key that nobody set', () => {
  let folder: string;
  const file = () => path.join(folder, 'secrets.key');
  beforeEach(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'isocenter-secrets-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test('is made once, for its owner alone', async () => {
    const { seal } = await secretsKeys(folder, undefined, true);
    expect(seal).toMatch(/^[0-9a-f]{64}$/);
    expect((await stat(file())).mode & 0o777).toBe(0o600);
    expect(await secretsKeys(folder, undefined, true)).toEqual({ seal });
    expect(await secretsKeys(folder, first, true), 'SECRETS_KEY goes first').toEqual({
      seal: first,
      open: [seal],
    });
    expect((await readFile(file(), 'utf8')).trim(), 'as SECRETS_KEY it is the same').toBe(seal);
  });

  test('is not made where processes share a database', async () => {
    expect(await secretsKeys(folder, undefined, false)).toEqual({ seal: undefined, open: [] });
    await expect(stat(file())).rejects.toThrow(/ENOENT/);
  });

  test('is not replaced when it is damaged', async () => {
    await writeFile(file(), 'half of i');
    await expect(secretsKeys(folder, undefined, true)).rejects.toThrow(/secrets\.key is no key/);
  });
});
