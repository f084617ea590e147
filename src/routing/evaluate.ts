/**
 * Takes one unit (instances as they came, a quiet series, a stable study) past every rule of that unit: writes each
 * rule's decision with the condition that decided, and the debts of those that matched. All in the caller's transaction.
 * Called by route-study.ts and quiet-series.ts.
 */
import type { Queryable } from '../archive/database/database.ts';
import type { StudyRecord } from '../archive/study.ts';
import type { Destination } from './destination.ts';
import { beginMatch, type Decision } from './match-rule.ts';
import { owe } from './owe.ts';
import type { RoutingTable, UnaskedRule } from './routing-table.ts';
import type { Rule, RuleUnit } from './rule.ts';
import { keepForm } from './rule-transform.ts';
import {
  beyondIndex,
  type HeaderAttributes,
  type UnitFactsParts,
  type UnitScope,
  unitFacts,
} from './unit-facts.ts';

export interface EvaluateParts extends UnitFactsParts {
  table: RoutingTable;
}

export interface Evaluation {
  /** Rules and destinations as they are in this transaction, read once for all its units. */
  readonly rules: readonly Rule[];
  readonly unasked: readonly UnaskedRule[];
  readonly destinations: ReadonlyMap<string, Destination>;
  /** The moment at which they are asked, by Postgres' clock. */
  readonly at: Date;
}

/** Destinations stay locked against removal until the transaction ends, so that nothing is owed to one that is gone. */
export async function beginEvaluation({ table }: EvaluateParts, tx: Queryable): Promise<Evaluation> {
  const { rules, unasked } = await table.compiledRules(tx);
  const { rows } = await tx.query<{ at: Date }>('select now() as at');
  const { at } = rows[0]!;
  if (rules.length === 0) return { rules, unasked, destinations: new Map(), at };
  await tx.query('select 1 from destination order by name for key share');
  const destinations = await table.destinations(tx);
  return { rules, unasked, destinations: new Map(destinations.map((one) => [one.name, one])), at };
}

export async function evaluateUnit(
  parts: EvaluateParts,
  tx: Queryable,
  evaluation: Evaluation,
  at: RuleUnit,
  study: StudyRecord,
  scope: UnitScope,
): Promise<void> {
  for (const rule of evaluation.unasked.filter(({ body }) => body.at === at))
    await writeDecision(
      tx,
      study,
      scope,
      rule,
      { matched: false, reason: rule.why, decided: [], seen: 0 },
      0,
    );
  const asked = evaluation.rules.filter((rule) => rule.body.at === at);
  if (asked.length === 0) return;
  if (study.held !== null) {
    const reason =
      'the study is held until a person decides on its conflict; it is looked at again when released';
    const decision: Decision = { matched: false, reason, decided: [], seen: 0 };
    for (const rule of asked) await writeDecision(tx, study, scope, rule, decision, 0);
    return;
  }
  const header = beyondIndex(asked.map((rule) => rule.condition));
  if (at === 'instance') await evaluateInstances(parts, tx, asked, evaluation, study, scope, header);
  else await evaluateWhole(parts, tx, asked, evaluation, study, scope, header);
}

async function evaluateWhole(
  parts: EvaluateParts,
  tx: Queryable,
  rules: readonly Rule[],
  { destinations, at }: Evaluation,
  study: StudyRecord,
  scope: UnitScope,
  header: HeaderAttributes | undefined,
): Promise<void> {
  const matchings = rules.map((rule) => ({ rule, matching: beginMatch(rule.condition) }));
  for await (const page of unitFacts(parts, tx, study, scope, at, header)) {
    for (const { facts } of page)
      for (const { matching } of matchings) if (!matching.settled) matching.see(facts);
    if (matchings.every(({ matching }) => matching.settled)) break;
  }
  for (const { rule, matching } of matchings) {
    const decision = matching.decide();
    const owed = decision.matched ? await oweAll(tx, rule, destinations, study, scope) : '';
    await writeDecision(tx, study, scope, rule, told(decision, owed), 0);
  }
}

/** Each instance is a unit of its own; one decision counts those that met the rule, another those that did not. */
async function evaluateInstances(
  parts: EvaluateParts,
  tx: Queryable,
  rules: readonly Rule[],
  { destinations, at }: Evaluation,
  study: StudyRecord,
  scope: UnitScope,
  header: HeaderAttributes | undefined,
): Promise<void> {
  if (scope.sopUids === undefined) await countAnew(tx, study, rules);
  for await (const page of unitFacts(parts, tx, study, scope, at, header)) {
    for (const rule of rules) {
      const [met, unmet] = [beginMatch(rule.condition), beginMatch(rule.condition)];
      const sopUids: string[] = [];
      for (const { sopUid, facts } of page) {
        const meets = beginMatch(rule.condition).see(facts);
        (meets ? met : unmet).see(facts);
        if (meets) sopUids.push(sopUid);
      }
      if (sopUids.length > 0) {
        const owed = await oweAll(tx, rule, destinations, study, { sopUids });
        // Of those that follow the row tells the number alone.
        await writeDecision(
          tx,
          study,
          {},
          rule,
          told(met.decide(), `the first of them: ${owed}`),
          sopUids.length,
        );
      }
      if (sopUids.length < page.length) await writeDecision(tx, study, {}, rule, unmet.decide(), 0);
    }
  }
}

/** All instances of a study that was released are looked at again, those that were before it was held too. */
async function countAnew(tx: Queryable, study: StudyRecord, rules: readonly Rule[]): Promise<void> {
  await tx.query(
    `update decision set seen = 0, met = 0 where study_uid = $1 and rule_at = 'instance' and not held
       and (rule, rule_version) in (select * from unnest($2::text[], $3::integer[]))`,
    [study.studyUid, rules.map(({ name }) => name), rules.map(({ version }) => version)],
  );
}

/** In the order of names, so that two transactions lock deliveries in one order. */
async function oweAll(
  tx: Queryable,
  rule: Rule,
  destinations: Evaluation['destinations'],
  study: StudyRecord,
  scope: UnitScope,
): Promise<string> {
  const outcomes: string[] = [];
  const form = await keepForm(tx, rule.body.transform);
  for (const name of [...rule.body.send].sort()) {
    const destination = destinations.get(name);
    if (!destination) {
      outcomes.push(`${name} is no destination`);
      continue;
    }
    const { studyUid } = study;
    const { priority, hold } = rule.body;
    outcomes.push(await owe(tx, { studyUid, scope, destination, rule: rule.name, priority, form, hold }));
  }
  return outcomes.join(', ');
}

function told(decision: Decision, owed: string): Decision {
  return owed === '' ? decision : { ...decision, reason: `${decision.reason}; ${owed}` };
}

/**
 * One row per rule version, unit and study version, and one for what was put off while the study was held; rows of rules
 * at 'instance' are one per study, and count. What was decided is never rewritten: the same again adds nothing.
 */
async function writeDecision(
  tx: Queryable,
  study: StudyRecord,
  scope: UnitScope,
  rule: Pick<UnaskedRule, 'name' | 'version' | 'body'>,
  decision: Decision,
  met: number,
): Promise<void> {
  const counting = rule.body.at === 'instance';
  const again = counting
    ? `(study_uid, rule, rule_version, matched, held) where rule_at = 'instance' do update set
         seen = d.seen + excluded.seen, met = d.met + excluded.met, study_version = excluded.study_version,
         last_at = now()`
    : `(study_uid, rule, rule_version, unit, study_version, held) where rule_at <> 'instance' do nothing`;
  await tx.query(
    `insert into decision as d (study_uid, study_version, unit, rule, rule_version, rule_at, matched, reason, seen, met,
       decided, held)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) on conflict ${again}`,
    [
      study.studyUid,
      study.version,
      counting ? '' : (scope.seriesUid ?? ''),
      rule.name,
      rule.version,
      rule.body.at,
      decision.matched,
      decision.reason,
      decision.seen,
      met,
      JSON.stringify(decision.decided),
      study.held !== null,
    ],
  );
}
