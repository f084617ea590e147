/**
 * Known AEs as the database keeps them: read, replaced, removed, each change with who and when.
 * Asked by ae-routes.ts (administration) and known-list.ts, which every change wakes on every node.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Database } from '../archive/database/database.ts';
import { Failure } from '../failure.ts';
import { type KnownAe, type KnownAeSettings, parseKnownAe } from './known-ae.ts';

/** A Postgres notification that carries nothing and may be lost: who hears it reads the table. */
export const AES_CHANNEL = 'isocenter_aes';

/** The list is copied into every receiver thread and looked through for every request. */
const MAX_ROWS = 1000;

export interface KnownAeRecord {
  name: string;
  settings: KnownAeSettings;
  changedAt: Date;
  changedBy: string;
}

export interface AeTable {
  list(): Promise<KnownAeRecord[]>;
  find(name: string): Promise<KnownAeRecord | undefined>;
  /** @returns whether it was made by this call; throws Failure 'invalid' with every fault, 'conflict' when the list is full */
  put(name: string, json: unknown, by: string): Promise<{ created: boolean }>;
  /** @throws Failure 'not-found' */
  remove(name: string): Promise<void>;
}

const COLUMNS = 'name, settings, changed_at as "changedAt", changed_by as "changedBy"';

export function createAeTable(database: Database): AeTable {
  const notify = `select pg_notify('${AES_CHANNEL}', '')`;
  return {
    async list() {
      const { rows } = await database.query<KnownAeRecord>(
        `select ${COLUMNS} from known_ae order by name limit ${MAX_ROWS}`,
      );
      return rows;
    },

    async find(name) {
      const { rows } = await database.query<KnownAeRecord>(
        `select ${COLUMNS} from known_ae where name = $1`,
        [name],
      );
      return rows[0];
    },

    put(name, json, by) {
      const settings = parseKnownAe(json);
      return database.transaction(async (tx) => {
        await tx.query('lock table known_ae in share row exclusive mode');
        const { rows } = await tx.query<{ settings: KnownAeSettings | null; count: number }>(
          `select (select settings from known_ae where name = $1) as settings, count(*) as count from known_ae`,
          [name],
        );
        const { settings: known = null, count = 0 } = rows[0] ?? {};
        if (known === null && count >= MAX_ROWS)
          throw new Failure('conflict', `There are ${MAX_ROWS} known AEs already; delete one first`);
        if (isDeepStrictEqual(known, JSON.parse(JSON.stringify(settings)))) return { created: false };
        await tx.query(
          `insert into known_ae (name, ae_title, settings, changed_by) values ($1, $2, $3, $4)
           on conflict (name) do update set ae_title = excluded.ae_title, settings = excluded.settings,
             changed_by = excluded.changed_by, changed_at = now()`,
          [name, settings.aeTitle, JSON.stringify(settings), by],
        );
        await tx.query(notify);
        return { created: known === null };
      });
    },

    remove: (name) =>
      database.transaction(async (tx) => {
        const { rowCount } = await tx.query('delete from known_ae where name = $1', [name]);
        if (rowCount === 0) throw new Failure('not-found', `There is no known AE ${name}`);
        await tx.query(notify);
      }),
  };
}

export function knownAeOf({ name, settings }: KnownAeRecord): KnownAe {
  return { ...settings, name };
}
