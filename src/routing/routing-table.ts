/**
 * Destinations and rules as the database keeps them: read, replaced, removed, each change with who and when.
 * Asked by routes.ts (administration), route-study.ts (compiled rules) and forwarding (settings of a destination).
 */
import { isDeepStrictEqual } from 'node:util';
import type { Database, Queryable } from '../archive/database/database.ts';
import { asFailure, Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import { cancelDeliveries, cancelOwedTo } from './cancel-deliveries.ts';
import {
  type Destination,
  type DestinationSettings,
  type OwnListener,
  parseDestination,
  refuseOurselves,
} from './destination.ts';
import { notifyDue } from './due.ts';
import { folderPath } from './folder-destination.ts';
import { refuseBadGroup, refuseMember } from './group-destination.ts';
import { parseRule, type Rule, type RuleBody, type RuleUnit } from './rule.ts';
import { refuseWithoutKey } from './rule-transform.ts';
import { createSealedSecrets, type SealedSecrets } from './sealed-secrets.ts';
import { forgetPace } from './send-pace.ts';

export interface DestinationRecord extends Destination {
  createdAt: Date;
  changedAt: Date;
  changedBy: string;
  /** Transient faults in a row; while downUntil lies ahead nothing is tried. */
  faults: number;
  downUntil: Date | null;
  lastFault: string | null;
}

export interface RuleRecord {
  name: string;
  version: number;
  body: RuleBody;
  changedAt: Date;
  changedBy: string;
}

/** A version of a rule; without a body it was deleted by that change. */
export interface RuleVersion {
  version: number;
  body: RuleBody | null;
  changedAt: Date;
  changedBy: string;
}

/** A rule that is there and is not asked: people look for its decision all the same. */
export interface UnaskedRule {
  name: string;
  version: number;
  body: { at: RuleUnit };
  /** A sentence. */
  why: string;
}

export interface RoutingTable {
  destinations(db?: Queryable): Promise<DestinationRecord[]>;
  destination(name: string, db?: Queryable): Promise<DestinationRecord | undefined>;
  /** @returns false when it was there already, word for word */
  putDestination(name: string, json: unknown, by: string): Promise<boolean>;
  /**
   * @param force cancels what is still owed to it
   * @returns how many deliveries were cancelled
   * @throws Failure 'not-found'; 'conflict' while rules name it, or while it owes and force is not given
   */
  deleteDestination(name: string, by: string, force: boolean): Promise<number>;
  rules(): Promise<RuleRecord[]>;
  rule(name: string): Promise<RuleRecord | undefined>;
  versions(name: string): Promise<RuleVersion[]>;
  /**
   * The rule becomes what it was, as a new version.
   * @throws Failure 'not-found' for a version that never was; 'invalid' for one that deleted it, or that no longer fits
   */
  restoreRule(name: string, version: number, by: string): Promise<{ version: number; changed: boolean }>;
  /** @returns the version it has now, and whether this call made it */
  putRule(name: string, json: unknown, by: string): Promise<{ version: number; changed: boolean }>;
  deleteRule(name: string, by: string): Promise<void>;
  /** By name: enabled rules, compiled, and those that are not asked. */
  compiledRules(db: Queryable): Promise<{ rules: Rule[]; unasked: UnaskedRule[] }>;
}

const MAX_ROWS = 1000;

const DESTINATION_COLUMNS = `name, settings, created_at as "createdAt", changed_at as "changedAt",
  changed_by as "changedBy", faults, down_until as "downUntil", last_fault as "lastFault"`;
const RULE_COLUMNS = 'name, version, body, changed_at as "changedAt", changed_by as "changedBy"';

export interface RoutingTableParts {
  database: Database;
  /** Where we listen ourselves, which is no destination. */
  ourselves?: (() => OwnListener) | undefined;
  /** Below it lie the folders that are destinations; there are none without it. */
  folderRoot?: string | undefined;
  /** Rules may de-identify when there is one. */
  deidentifyKey?: string | undefined;
  /** Credentials stand in the clear without. */
  secrets?: SealedSecrets;
  log: Log;
}

export function createRoutingTable({
  database,
  ourselves,
  folderRoot,
  deidentifyKey,
  secrets = createSealedSecrets({ seal: undefined }),
  log,
}: RoutingTableParts): RoutingTable {
  const opened = (record: DestinationRecord): DestinationRecord => ({
    ...record,
    settings: secrets.open(record.name, record.settings),
  });
  const compiled = new Map<string, Rule>();
  const unreadable = new Set<string>();

  async function destination(name: string, db: Queryable = database): Promise<DestinationRecord | undefined> {
    const { rows } = await db.query<DestinationRecord>(
      `select ${DESTINATION_COLUMNS} from destination where name = $1`,
      [name],
    );
    return rows[0] && opened(rows[0]);
  }

  async function rule(name: string, db: Queryable = database): Promise<RuleRecord | undefined> {
    const { rows } = await db.query<RuleRecord>(`select ${RULE_COLUMNS} from rule where name = $1`, [name]);
    return rows[0];
  }

  function compile({ name, version, body }: RuleRecord): Rule | undefined {
    const key = `${name} ${version}`;
    const known = compiled.get(key);
    if (known) return known;
    try {
      const made = { name, version, ...parseRule(body) };
      if (compiled.size >= MAX_ROWS) compiled.clear();
      compiled.set(key, made);
      return made;
    } catch (thrown) {
      // Once: it is asked for with every batch of changes.
      if (!unreadable.has(key))
        log.error(
          { err: asFailure(thrown), rule: name, version },
          'a stored rule cannot be read and is left out',
        );
      unreadable.add(key);
      return undefined;
    }
  }

  function putRule(name: string, json: unknown, by: string): Promise<{ version: number; changed: boolean }> {
    const { body } = parseRule(json);
    refuseWithoutKey(body.transform, deidentifyKey);
    return database.transaction(async (tx) => {
      await lockRule(tx, name);
      const known = await rule(name, tx);
      if (known && isDeepStrictEqual(known.body, body)) return { version: known.version, changed: false };
      if (!known) await refuseOverflow(tx, 'rule');
      await refuseUnknownDestinations(tx, body.send);
      const version = await appendVersion(tx, name, body, by);
      await tx.query(
        `insert into rule (name, version, body, changed_by) values ($1, $2, $3, $4)
         on conflict (name) do update set version = excluded.version, body = excluded.body,
           changed_by = excluded.changed_by, changed_at = now()`,
        [name, version, JSON.stringify(body), by],
      );
      return { version, changed: true };
    });
  }

  return {
    async destinations(db = database) {
      const { rows } = await db.query<DestinationRecord>(
        `select ${DESTINATION_COLUMNS} from destination order by name limit ${MAX_ROWS}`,
      );
      return rows.map(opened);
    },

    destination,

    putDestination: (name, json, by) =>
      database.transaction(async (tx) => {
        await tx.query('select 1 from destination where name = $1 for update', [name]);
        const known = await destination(name, tx);
        const settings: DestinationSettings = parseDestination(json, known?.settings);
        if (ourselves) refuseOurselves(settings, ourselves());
        if (settings.kind === 'folder') folderPath(folderRoot, settings);
        await refuseBadGroup(tx, settings);
        if (settings.kind === 'group' && known && known.settings.kind !== 'group')
          await refuseMember(tx, name);
        if (known && isDeepStrictEqual(known.settings, settings)) return false;
        if (!known) await refuseOverflow(tx, 'destination');
        // New settings are tried at once, however long the old ones failed.
        await tx.query(
          `insert into destination (name, kind, settings, enabled, changed_by) values ($1, $2, $3, $4, $5)
           on conflict (name) do update set kind = excluded.kind, settings = excluded.settings,
             enabled = excluded.enabled, changed_by = excluded.changed_by, changed_at = now(),
             faults = 0, down_until = null, opens_at = null, last_fault = null`,
          [name, settings.kind, JSON.stringify(secrets.seal(name, settings)), settings.enabled, by],
        );
        await forgetPace(tx, name);
        await notifyDue(tx);
        return true;
      }),

    async deleteDestination(name, by, force) {
      const words = `cancelled when ${by || 'someone'} deleted the destination ${name}`;
      if (force) await refuseNamed(database, name);
      // However many there are: what is owed meanwhile is cancelled with the destination.
      const before = force ? await cancelOwedTo(database, name, words) : 0;
      return database.transaction(async (tx) => {
        const found = await tx.query('select 1 from destination where name = $1 for update', [name]);
        if (found.rowCount === 0) throw new Failure('not-found', `There is no destination ${name}`);
        await refuseNamed(tx, name);
        const owed = await tx.query<{ id: number; count: number }>(
          `select id, count(*) over () as count from delivery
           where destination = $1 and state in ('owed', 'sending', 'parked') limit $2`,
          [name, force ? null : 1],
        );
        const count = owed.rows[0]?.count ?? 0;
        if (count > 0 && !force)
          throw new Failure(
            'conflict',
            `${name} is still owed ${count} ${count === 1 ? 'delivery' : 'deliveries'}: deliver or cancel them, or repeat with ?force to cancel them`,
          );
        const ids = owed.rows.map(({ id }) => id);
        const last = await cancelDeliveries(tx, ids, words);
        await tx.query('delete from destination where name = $1', [name]);
        return before + last;
      });
    },

    async rules() {
      const { rows } = await database.query<RuleRecord>(
        `select ${RULE_COLUMNS} from rule order by name limit ${MAX_ROWS}`,
      );
      return rows;
    },

    rule: (name) => rule(name),

    async versions(name) {
      const { rows } = await database.query<RuleVersion>(
        `select version, body, changed_at as "changedAt", changed_by as "changedBy"
         from rule_version where rule = $1 order by version desc limit ${MAX_ROWS}`,
        [name],
      );
      return rows;
    },

    putRule,

    async restoreRule(name, version, by) {
      const { rows } = await database.query<{ body: RuleBody | null }>(
        'select body from rule_version where rule = $1 and version = $2',
        [name, version],
      );
      if (!rows[0]) throw new Failure('not-found', `The rule ${name} never had a version ${version}`);
      const { body } = rows[0];
      if (body === null)
        throw new Failure('invalid', `Version ${version} of the rule ${name} deleted it: delete it instead`);
      return putRule(name, body, by);
    },

    deleteRule: (name, by) =>
      database.transaction(async (tx) => {
        await lockRule(tx, name);
        const { rowCount } = await tx.query('delete from rule where name = $1', [name]);
        if (rowCount === 0) throw new Failure('not-found', `There is no rule ${name}`);
        await appendVersion(tx, name, null, by);
      }),

    async compiledRules(db) {
      const { rows } = await db.query<RuleRecord>(
        `select ${RULE_COLUMNS} from rule order by name limit ${MAX_ROWS}`,
      );
      const [rules, unasked]: [Rule[], UnaskedRule[]] = [[], []];
      for (const row of rows) {
        const { name, version, body } = row;
        const rule = body.enabled ? compile(row) : undefined;
        if (rule) rules.push(rule);
        else
          unasked.push({ name, version, body, why: body.enabled ? UNREADABLE : 'the rule is switched off' });
      }
      return { rules, unasked };
    },
  };
}

const UNREADABLE = 'this version of Isocenter cannot read the rule: put it anew';

/** @throws Failure 'conflict' while rules send to it or groups name it */
async function refuseNamed(db: Queryable, name: string): Promise<void> {
  const { rows } = await db.query<{ name: string }>(
    `select name from rule where body -> 'send' ? $1 order by name limit 10`,
    [name],
  );
  await refuseMember(db, name);
  if (rows.length > 0)
    throw new Failure(
      'conflict',
      `Rules send to ${name}: ${rows.map((row) => row.name).join(', ')}. Change or delete them first`,
    );
}

/** Two people who put one rule at the same time make two versions, one after the other. */
async function lockRule(tx: Queryable, name: string): Promise<void> {
  await tx.query(`select pg_advisory_xact_lock(hashtextextended('isocenter rule ' || $1, 0))`, [name]);
}

/** Locked against removal until the rule that names them is committed. */
async function refuseUnknownDestinations(tx: Queryable, names: readonly string[]): Promise<void> {
  const { rows } = await tx.query<{ name: string }>(
    'select name from destination where name = any($1) order by name for key share',
    [names],
  );
  const known = new Set(rows.map((row) => row.name));
  const unknown = names.filter((name) => !known.has(name));
  if (unknown.length > 0)
    throw new Failure('invalid', `The rule has a fault: send: ${unknown.join(', ')} is no destination`);
}

async function appendVersion(
  tx: Queryable,
  name: string,
  body: RuleBody | null,
  by: string,
): Promise<number> {
  const { rows } = await tx.query<{ version: number }>(
    `insert into rule_version (rule, version, body, changed_by)
     select $1, coalesce(max(version), 0) + 1, $2, $3 from rule_version where rule = $1 returning version`,
    [name, body === null ? null : JSON.stringify(body), by],
  );
  return rows[0]!.version;
}

async function refuseOverflow(tx: Queryable, table: 'rule' | 'destination'): Promise<void> {
  const { rows } = await tx.query<{ count: number }>(`select count(*) from ${table}`);
  if ((rows[0]?.count ?? 0) >= MAX_ROWS)
    throw new Failure('conflict', `There are ${MAX_ROWS} ${table}s already; delete one first`);
}
