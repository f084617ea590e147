/**
 * A destination that is a group: what is owed to it goes through its first member that is up. The schema is one of
 * destination.ts; claim.ts chooses the member, routing-table.ts keeps groups and members consistent with this.
 */
import { z } from 'zod';
import type { Queryable } from '../archive/database/database.ts';
import { Failure } from '../failure.ts';
import { retrySchema } from './backoff.ts';
import type { DestinationSettings } from './destination.ts';
import { invalid } from './faults.ts';
import { nameSchema } from './rule.ts';

export const groupSettings = z.strictObject({
  kind: z.literal('group'),
  members: z
    .array(nameSchema)
    .min(1)
    .max(10)
    .refine((names) => new Set(names).size === names.length, 'a member is named twice')
    .describe('Names of destinations, the preferred one first; each sends by its own settings'),
  retry: retrySchema
    .optional()
    .describe('For deliveries that fail by themselves, whichever member they go through'),
  enabled: z.boolean().default(true).describe('While false, what is owed waits'),
});

export type GroupSettings = z.infer<typeof groupSettings>;

/**
 * In the transaction that puts it: members are there, locked against removal, and none of them is a group.
 * @throws Failure 'invalid'
 */
export async function refuseBadGroup(tx: Queryable, settings: DestinationSettings): Promise<void> {
  if (settings.kind === 'group') await refuseBadMembers(tx, settings);
}

async function refuseBadMembers(tx: Queryable, { members }: GroupSettings): Promise<void> {
  const { rows } = await tx.query<{ name: string; kind: string }>(
    'select name, kind from destination where name = any($1) order by name for key share',
    [members],
  );
  const faults = members.flatMap((member, index) => {
    const found = rows.find((row) => row.name === member);
    const at = `members.${index}: ${member}`;
    if (!found) return [`${at} is no destination`];
    if (found.kind === 'group') return [`${at} is a group; groups are not nested`];
    return [];
  });
  if (faults.length > 0) throw invalid('The destination', faults);
}

/** @throws Failure 'conflict' while groups name it: it cannot go, nor become a group */
export async function refuseMember(db: Queryable, name: string): Promise<void> {
  const groups = await groupsOf(db, name);
  if (groups.length > 0)
    throw new Failure('conflict', `${name} is a member of ${groups.join(', ')}. Change or delete that first`);
}

async function groupsOf(db: Queryable, name: string): Promise<string[]> {
  const { rows } = await db.query<{ name: string }>(
    `select name from destination where kind = 'group' and settings -> 'members' ? $1 order by name limit 10`,
    [name],
  );
  return rows.map((row) => row.name);
}
