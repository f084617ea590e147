/**
 * The key for credentials of destinations that nobody set: made at the first start in the data folder, beside the embedded
 * database and not in it, for its owner alone to read. Asked by main.ts; sealed-secrets.ts uses it.
 */
import { randomBytes } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { syncFolder } from '../archive/sync-folder.ts';
import { Failure } from '../failure.ts';
import type { SecretsKeys } from './sealed-secrets.ts';

const FILE = 'secrets.key';
const MADE = /^[0-9a-f]{64}\n?$/;

/**
 * @param given SECRETS_KEY; what the folder's key sealed before is opened, too
 * @param isOwn the database is this process' own: without SECRETS_KEY a key is made. One that processes share needs a
 *              key that they share
 * @throws Failure 'invalid' when the file is damaged
 */
export async function secretsKeys(
  folder: string,
  given: string | undefined,
  isOwn: boolean,
): Promise<SecretsKeys> {
  const file = path.join(folder, FILE);
  const kept = await readKey(file);
  if (given !== undefined) return { seal: given, open: kept === undefined ? [] : [kept] };
  if (isOwn) return { seal: kept ?? (await makeKey(file)) };
  return { seal: undefined, open: kept === undefined ? [] : [kept] };
}

async function readKey(file: string): Promise<string | undefined> {
  const text = await readFile(file, 'utf8').catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === 'ENOENT') return undefined;
    throw new Failure('invalid', `${file} cannot be read (${thrown.code})`, { cause: thrown });
  });
  if (text === undefined) return undefined;
  if (!MADE.test(text))
    throw new Failure(
      'invalid',
      `${file} is no key (64 hexadecimal digits): put it back from a backup, or take it away and give the credentials of destinations anew`,
    );
  return text.trim();
}

/** Whole or not there: a destination may be sealed with it the moment after. The folder is locked by this process. */
async function makeKey(file: string): Promise<string> {
  const key = randomBytes(32).toString('hex');
  const beside = `${file}.new`;
  const handle = await open(beside, 'w', 0o600);
  try {
    await handle.writeFile(`${key}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(beside, file);
  await syncFolder(path.dirname(file));
  return key;
}
