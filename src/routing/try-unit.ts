/**
 * What rules would owe of a study, and what a draft among them would change: decided by the same facts and the same
 * matching as evaluate.ts, in one pass, and nothing is written. Pure but for the pages it is fed; called by try-rule.ts.
 */
import { cameFrom, type Senders } from './came-from.ts';
import { beginMatch, type Deciding, type Decision, type Matching } from './match-rule.ts';
import { RULE_UNITS, type Rule, type RuleBody } from './rule.ts';
import { formOf } from './rule-transform.ts';
import type { UnitInstance } from './unit-facts.ts';

export interface TriedRules {
  /** Those that are in force. */
  readonly today: readonly Rule[];
  readonly draft: Rule | undefined;
  /** Name of the rule in force whose place the draft would take. */
  readonly replaces: string | undefined;
  /** Who a destination is as a sender, by name; a rule's other names are no destinations. */
  readonly senders: ReadonlyMap<string, Senders>;
}

export interface TriedDecision {
  rule: string;
  draft?: true;
  /** Of a rule at 'series-stable': which series. */
  series?: string;
  matched: boolean;
  reason: string;
  decided: readonly Deciding[];
  /** Of a rule at 'instance': how many met it. */
  met?: number;
}

export interface Going {
  destination: string;
  instances: number;
  /** The rule changes them on the way out. */
  changed?: true;
  /** Once a person releases them. */
  waits?: true;
}

export interface TriedUnit {
  instances: number;
  /** Set when the time was up before every instance was looked at: what stands here is of those that were. */
  incomplete?: true;
  decisions: TriedDecision[];
  /** With the draft in force. */
  goes: Going[];
  /** What goes with the draft and does not go today, and the other way round. */
  more: Going[];
  less: Going[];
}

/** A series has one decision per rule; what is told of them is bounded. */
const MOST_DECISIONS = 500;

interface SeriesState {
  matchings: ReadonlyMap<Rule, Matching>;
  /** Instances that met the same rules and came from the same destinations. */
  alike: Map<string, { met: readonly Rule[]; from: readonly string[]; count: number }>;
}

export async function tryUnit(
  pages: AsyncIterable<readonly UnitInstance[]>,
  { today, draft, replaces, senders }: TriedRules,
  isTimeUp: () => boolean,
): Promise<TriedUnit> {
  const rules = draft ? [...today, draft] : today;
  const at = (unit: RuleBody['at']) => rules.filter(({ body }) => body.at === unit);
  const [each, bySeries] = [at('instance'), at('series-stable')];
  const whole = beginAll(at('study-stable'));
  const counting = new Map(
    each.map((rule) => [rule, { met: beginOne(rule), unmet: beginOne(rule), count: 0 }]),
  );
  const series = new Map<string, SeriesState>();
  let instances = 0;
  let incomplete = false;

  for await (const page of pages) {
    for (const { seriesUid, source, receivedAt, facts } of page) {
      // A rule at 'instance' was asked when it came.
      const own = { ...facts, at: receivedAt };
      let state = series.get(seriesUid);
      if (!state) {
        state = { matchings: beginAll(bySeries), alike: new Map() };
        series.set(seriesUid, state);
      }
      for (const matching of [...whole.values(), ...state.matchings.values()])
        if (!matching.settled) matching.see(facts);
      const met = each.filter((rule) => {
        const held = beginOne(rule).see(own);
        const count = counting.get(rule)!;
        (held ? count.met : count.unmet).see(own);
        if (held) count.count++;
        return held;
      });
      const from = [...senders].filter(([, sender]) => cameFrom(sender, source)).map(([name]) => name);
      const key = `${met.map((rule) => rules.indexOf(rule)).join()} ${from.join()}`;
      const alike = state.alike.get(key);
      if (alike) alike.count++;
      else state.alike.set(key, { met, from, count: 1 });
    }
    instances += page.length;
    if (!isTimeUp()) continue;
    incomplete = true;
    break;
  }

  const decisions = new Map<Rule | string, Decision>();
  const decide = (rule: Rule, uid?: string): Decision => {
    const key = uid === undefined ? rule : `${rules.indexOf(rule)} ${uid}`;
    let decision = decisions.get(key);
    if (!decision) {
      const matching = uid === undefined ? whole.get(rule) : series.get(uid)?.matchings.get(rule);
      decision = matching!.decide();
      decisions.set(key, decision);
    }
    return decision;
  };
  const [goes, more, less] = [new Tally(), new Tally(), new Tally()];
  const after = new Set(
    rules.filter((rule) =>
      rule === draft ? rule.body.enabled : draft === undefined || rule.name !== replaces,
    ),
  );
  for (const [uid, { alike }] of series)
    for (const { met, from, count } of alike.values()) {
      const holding = rules.filter((rule) => {
        if (rule.body.at === 'instance') return met.includes(rule);
        return decide(rule, rule.body.at === 'series-stable' ? uid : undefined).matched;
      });
      const owed = (of: readonly Rule[]) => debts(of, (name) => senders.has(name) && !from.includes(name));
      const now = owed(holding.filter((rule) => rule !== draft));
      const then = owed(holding.filter((rule) => after.has(rule)));
      for (const [key, debt] of then) {
        goes.add(key, debt, count);
        if (!now.has(key)) more.add(key, debt, count);
      }
      for (const [key, debt] of now) if (!then.has(key)) less.add(key, debt, count);
    }

  const told: TriedDecision[] = rules.flatMap((rule): TriedDecision[] => {
    const name = { rule: rule.name, ...(rule === draft && { draft: true as const }) };
    if (rule.body.at === 'instance') {
      const { met, unmet, count } = counting.get(rule)!;
      const { reason, decided } = (count > 0 ? met : unmet).decide();
      return [{ ...name, matched: count > 0, reason, decided, met: count }];
    }
    const units = rule.body.at === 'series-stable' ? [...series.keys()] : [undefined];
    return units.slice(0, MOST_DECISIONS).map((uid) => {
      const { matched, reason, decided } = decide(rule, uid);
      return { ...name, ...(uid !== undefined && { series: uid }), matched, reason, decided };
    });
  });
  return {
    instances,
    ...(incomplete && { incomplete }),
    decisions: told.slice(0, MOST_DECISIONS),
    goes: goes.list(),
    more: more.list(),
    less: less.list(),
  };
}

const beginOne = (rule: Rule): Matching => beginMatch(rule.condition);
const beginAll = (rules: readonly Rule[]): ReadonlyMap<Rule, Matching> =>
  new Map(rules.map((rule) => [rule, beginOne(rule)]));

interface Debt {
  destination: string;
  changed: boolean;
  waits: boolean;
}

/** A destination is owed an instance once in one form, whatever the number of rules: as owe.ts has it. */
function debts(rules: readonly Rule[], isWanted: (destination: string) => boolean): Map<string, Debt> {
  const owed = new Map<string, Debt>();
  // What an earlier unit owes has gone before a later one asks for a person; of one unit a single rule is enough.
  for (const unit of RULE_UNITS) {
    const now = new Map<string, Debt>();
    for (const { body } of rules.filter((rule) => rule.body.at === unit))
      for (const destination of body.send)
        if (isWanted(destination)) {
          const form = formOf(body.transform);
          const key = `${destination} ${form}`;
          const waits = (body.hold ?? false) || (now.get(key)?.waits ?? false);
          now.set(key, { destination, changed: form !== '', waits });
        }
    for (const [key, debt] of now) if (!owed.has(key)) owed.set(key, debt);
  }
  return owed;
}

class Tally {
  readonly #byKey = new Map<string, Debt & { instances: number }>();

  add(key: string, debt: Debt, count: number): void {
    const known = this.#byKey.get(key);
    if (known) {
      known.instances += count;
      known.waits ||= debt.waits;
    } else this.#byKey.set(key, { ...debt, instances: count });
  }

  list(): Going[] {
    return [...this.#byKey.values()]
      .map(({ destination, instances, changed, waits }) => ({
        destination,
        instances,
        ...(changed && { changed: true as const }),
        ...(waits && { waits: true as const }),
      }))
      .sort((a, b) => (a.destination < b.destination ? -1 : 1));
  }
}
