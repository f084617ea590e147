/**
 * Credentials of destinations at rest: AES-256-GCM (NIST SP 800-38D) under a key that is not in the database, so that who
 * reads the database, a dump of it or a replica does not get them. routing-table.ts seals what people put and opens what
 * it reads, claim.ts opens what is sent by. What no key of ours opens stays sealed, and whoever needs it says so.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import type { Database } from '../archive/database/database.ts';
import { Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import { type DestinationSettings, mapSecrets } from './destination.ts';
import { SEALED, secretsOf } from './secrets.ts';

export interface SecretsKeys {
  /** New values are sealed with it; undefined leaves them in the clear. */
  readonly seal: string | undefined;
  /** Further ones that may have been used before. */
  readonly open?: readonly string[];
}

export interface SealedSecrets {
  /** Settings as they stand in the database. */
  seal<S extends DestinationSettings>(name: string, settings: S): S;
  /** Settings as they are used; what cannot be opened stays as it is. */
  open<S extends DestinationSettings>(name: string, settings: S): S;
  /** Seals what stands in the clear, or under a former key, and tells what is not as it should be. */
  sealAll(database: Database, log: Log): Promise<void>;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const IN_THE_CLEAR =
  'credentials of a destination stand in the clear in the database: set SECRETS_KEY, the same for every process';
/** What a failed test of a destination and a delivery that waits say. */
const REMEDY =
  'is sealed with a key that this process has not got: start it with the SECRETS_KEY of before, or give the value anew';

export function createSealedSecrets({ seal: sealingKey, open: others = [] }: SecretsKeys): SealedSecrets {
  const sealing = sealingKey === undefined ? undefined : derived(sealingKey);
  const opening = [...(sealing ? [sealing] : []), ...others.map(derived)];

  const seal: SealedSecrets['seal'] = (name, settings) =>
    mapSecrets(settings, (path, value) =>
      sealing === undefined || value.startsWith(SEALED) ? value : sealed(sealing, name, path, value),
    ) as typeof settings;
  const open: SealedSecrets['open'] = (name, settings) =>
    mapSecrets(settings, (path, value) => opened(opening, name, path, value)) as typeof settings;

  /** In the clear, or under a key of before that we have. */
  const isStale = (name: string, path: string, value: string): boolean =>
    !value.startsWith(SEALED) ||
    (opened(opening, name, path, value) !== value &&
      opened(opening.slice(0, 1), name, path, value) === value);

  return {
    seal,
    open,
    async sealAll(database, log) {
      const { rows } = await database.query<{ name: string; settings: DestinationSettings }>(
        'select name, settings from destination order by name',
      );
      for (const { name, settings } of rows) {
        const plain = open(name, settings);
        const lost = stillSealed(plain);
        if (lost !== undefined) log.error({ destination: name }, `${lost} of a destination ${REMEDY}`);
        const values = [...secretsOf(mapSecrets, settings)];
        if (sealing === undefined && values.some(([, value]) => !value.startsWith(SEALED)))
          log.warn({ destination: name }, IN_THE_CLEAR);
        const stale = values.some(([path, value]) => isStale(name, path, value));
        if (sealing === undefined || !stale) continue;
        // No change that a person made: what is under way goes on. One that a person makes now is left to that.
        await database.query('update destination set settings = $3 where name = $1 and settings = $2', [
          name,
          JSON.stringify(settings),
          JSON.stringify(seal(name, plain)),
        ]);
      }
    },
  };
}

/** @throws Failure 'peer-refused' that names the setting, when one of them could not be opened */
export function refuseSealed(name: string, settings: DestinationSettings): void {
  const path = stillSealed(settings);
  if (path !== undefined) throw new Failure('peer-refused', `${path} of ${name} ${REMEDY}`);
}

function stillSealed(settings: DestinationSettings): string | undefined {
  return [...secretsOf(mapSecrets, settings)].find(([, value]) => value.startsWith(SEALED))?.[0];
}

/** A key is a long random text; 32 bytes for this purpose alone come from it (RFC 5869). */
function derived(key: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, '', 'isocenter credentials of destinations', 32));
}

/** Where a value stands is part of what is proved: it opens at no other destination and under no other name. */
const place = (name: string, path: string): Buffer => Buffer.from(`${name} ${path}`);

function sealed(key: Buffer, name: string, path: string, value: string): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(place(name, path));
  const text = Buffer.concat([cipher.update(value, 'utf8'), cipher.final()]);
  return SEALED + Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64');
}

function opened(keys: readonly Buffer[], name: string, path: string, value: string): string {
  if (!value.startsWith(SEALED)) return value;
  const bytes = Buffer.from(value.slice(SEALED.length), 'base64');
  const text = bytes.subarray(NONCE_BYTES + TAG_BYTES);
  for (const key of keys) {
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    }).setAAD(place(name, path));
    try {
      decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
      return decipher.update(text, undefined, 'utf8') + decipher.final('utf8');
    } catch {
      // Another key's, or changed by somebody: it stays sealed, and is said where it is needed.
    }
  }
  return value;
}
