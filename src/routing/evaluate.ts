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
import type { RoutingTable } from './routing-table.ts';
import type { Rule, RuleUnit } from './rule.ts';
import { type UnitFactsParts, type UnitScope, unindexedTags, unitFacts } from './unit-facts.ts';

export interface EvaluateParts extends UnitFactsParts {
  table: RoutingTable;
}

export interface Evaluation {
  /** Rules and destinations as they are in this transaction, read once for all its units. */
  readonly rules: readonly Rule[];
  readonly destinations: ReadonlyMap<string, Destination>;
}

/** Destinations stay locked against removal until the transaction ends, so that nothing is owed to one that is gone. */
export async function beginEvaluation({ table }: EvaluateParts, tx: Queryable): Promise<Evaluation> {
  const rules = await table.compiledRules(tx);
  if (rules.length === 0) return { rules, destinations: new Map() };
  await tx.query('select 1 from destination order by name for key share');
  const destinations = await table.destinations(tx);
  return { rules, destinations: new Map(destinations.map((one) => [one.name, one])) };
}

export async function evaluateUnit(
  parts: EvaluateParts,
  tx: Queryable,
  { rules, destinations }: Evaluation,
  at: RuleUnit,
  study: StudyRecord,
  scope: UnitScope,
): Promise<void> {
  const asked = rules.filter((rule) => rule.body.at === at);
  if (asked.length === 0) return;
  if (study.held !== null) {
    const reason =
      'the study is held until a person decides on its conflict; it is looked at again when released';
    for (const rule of asked)
      await writeDecision(tx, study, scope, rule, { matched: false, reason, seen: 0 }, 0);
    return;
  }
  const withHeader = unindexedTags(asked.flatMap((rule) => [...rule.condition.tags])).length > 0;
  if (at === 'instance') await evaluateInstances(parts, tx, asked, destinations, study, scope, withHeader);
  else await evaluateWhole(parts, tx, asked, destinations, study, scope, withHeader);
}

async function evaluateWhole(
  parts: EvaluateParts,
  tx: Queryable,
  rules: readonly Rule[],
  destinations: Evaluation['destinations'],
  study: StudyRecord,
  scope: UnitScope,
  withHeader: boolean,
): Promise<void> {
  const matchings = rules.map((rule) => ({ rule, matching: beginMatch(rule.condition) }));
  for await (const page of unitFacts(parts, tx, study, scope, withHeader)) {
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

/** Each instance is a unit of its own; the decision counts them. */
async function evaluateInstances(
  parts: EvaluateParts,
  tx: Queryable,
  rules: readonly Rule[],
  destinations: Evaluation['destinations'],
  study: StudyRecord,
  scope: UnitScope,
  withHeader: boolean,
): Promise<void> {
  for await (const page of unitFacts(parts, tx, study, scope, withHeader)) {
    for (const rule of rules) {
      const whole = beginMatch(rule.condition);
      const sopUids: string[] = [];
      for (const { sopUid, facts } of page) {
        const one = beginMatch(rule.condition);
        one.see(facts);
        if (one.decide().matched) sopUids.push(sopUid);
        whole.see(facts);
      }
      const owed = sopUids.length > 0 ? await oweAll(tx, rule, destinations, study, { sopUids }) : '';
      const decision = { ...whole.decide(), matched: sopUids.length > 0 };
      await writeDecision(tx, study, {}, rule, told(decision, owed), sopUids.length);
    }
  }
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
  for (const name of [...rule.body.send].sort()) {
    const destination = destinations.get(name);
    if (!destination) {
      outcomes.push(`${name} is no destination`);
      continue;
    }
    const { studyUid } = study;
    const { priority } = rule.body;
    outcomes.push(await owe(tx, { studyUid, scope, destination, rule: rule.name, priority, form: '' }));
  }
  return outcomes.join(', ');
}

function told(decision: Decision, owed: string): Decision {
  return owed === '' ? decision : { ...decision, reason: `${decision.reason}; ${owed}` };
}

/** One row per rule version, unit and study version; rules at 'instance' keep one row per study that counts. */
async function writeDecision(
  tx: Queryable,
  study: StudyRecord,
  scope: UnitScope,
  rule: Rule,
  decision: Decision,
  met: number,
): Promise<void> {
  const counting = rule.body.at === 'instance';
  const target = counting
    ? `(study_uid, rule, rule_version) where rule_at = 'instance' do update set
         matched = d.matched or excluded.matched, seen = d.seen + excluded.seen, met = d.met + excluded.met,
         reason = case when d.matched and not excluded.matched then d.reason else excluded.reason end,
         study_version = excluded.study_version, at = now()`
    : `(study_uid, rule, rule_version, unit, study_version) where rule_at <> 'instance' do update set
         matched = excluded.matched, reason = excluded.reason, seen = excluded.seen, at = now()`;
  await tx.query(
    `insert into decision as d (study_uid, study_version, unit, rule, rule_version, rule_at, matched, reason, seen, met)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict ${target}`,
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
    ],
  );
}
