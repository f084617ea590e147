/**
 * A rule as people write it: when it holds, at which unit, to where. The zod schema here is what PUT /api/rules takes
 * and what GET /api/rules/schema publishes as JSON Schema. Parsed rules go to the routing table and match-rule.ts.
 */
import { z } from 'zod';
import { Failure } from '../failure.ts';
import { type CompiledCondition, compileCondition, conditionSchema } from './condition.ts';
import { invalid, sentences } from './faults.ts';
import { transformFaults, transformSchema } from './rule-transform.ts';

/** Destinations and rules are named in URLs and file names, so the letters are few. */
export const nameSchema = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    'expected 1 to 63 letters, digits, dots, hyphens or underscores',
  );

export const RULE_UNITS = ['instance', 'series-stable', 'study-stable'] as const;
export type RuleUnit = (typeof RULE_UNITS)[number];

const ruleSchema = z
  .strictObject({
    when: conditionSchema.default({}).describe('Empty: always'),
    at: z
      .enum(RULE_UNITS)
      .default('study-stable')
      .describe(
        'The unit that is looked at and sent: each instance as it is stored, a series or a study once it is quiet. ' +
          'The condition holds when any instance of the unit meets it',
      ),
    send: z
      .array(nameSchema)
      .min(1, 'a rule names at least one destination')
      .max(50)
      .describe('Names of destinations'),
    transform: transformSchema.optional(),
    hold: z
      .boolean()
      .optional()
      .describe('A person looks first: what the rule owes waits for POST /api/deliveries/ID/release'),
    priority: z.number().int().min(-100).max(100).default(0).describe('Higher goes first'),
    enabled: z.boolean().default(true),
    description: z.string().max(500).default(''),
  })
  .meta({ title: 'Rule' });

export type RuleBody = z.infer<typeof ruleSchema>;

export interface Rule {
  readonly name: string;
  readonly version: number;
  readonly body: RuleBody;
  readonly condition: CompiledCondition;
}

/** JSON is nested at most this deep before the schema looks at it: a hostile body must not exhaust the stack. */
const MAX_JSON_DEPTH = 64;

/** @throws Failure 'invalid' with every fault, one sentence each */
export function parseRule(json: unknown): { body: RuleBody; condition: CompiledCondition } {
  if (deeperThan(json, MAX_JSON_DEPTH))
    throw new Failure('invalid', `The rule is nested deeper than ${MAX_JSON_DEPTH}`);
  // The schema passes over it, and a rule without its condition would send everything.
  if (hasName(json, '__proto__')) throw invalid('The rule', ['__proto__ is not known here']);
  const parsed = ruleSchema.safeParse(json);
  if (!parsed.success) throw invalid('The rule', sentences(parsed.error));
  const body = { ...parsed.data, send: [...new Set(parsed.data.send)] };
  const condition = compileCondition(body.when);
  const faults = transformFaults(body.transform);
  if ('faults' in condition) throw invalid('The rule', [...condition.faults, ...faults]);
  if (faults.length > 0) throw invalid('The rule', faults);
  return { body, condition };
}

/** The published schema (JSON Schema 2020-12) of what PUT /api/rules/NAME takes. */
export function ruleJsonSchema(): object {
  return z.toJSONSchema(ruleSchema, { io: 'input' });
}

/** In any object of it; it is not nested deep. */
function hasName(json: unknown, name: string): boolean {
  if (typeof json !== 'object' || json === null) return false;
  return Object.hasOwn(json, name) || Object.values(json).some((value) => hasName(value, name));
}

/** Breadth first, so that its own depth does not grow with the value's. */
function deeperThan(json: unknown, limit: number): boolean {
  let level: unknown[] = [json];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limit) return true;
    level = level.flatMap((value) =>
      typeof value === 'object' && value !== null ? Object.values(value) : [],
    );
  }
  return false;
}
