/** Random nested conditions, matched by the rule engine and by a reading of the words as naive as can be. */
import { expect, test } from 'vitest';
import { attribute } from '../../src/dicom/attributes.ts';
import { type InstanceFacts, matchRule } from '../../src/routing/match-rule.ts';
import { parseRule } from '../../src/routing/rule.ts';
import { dicom } from './given-study.ts';
import { type Condition, conditionOf, NESTED, random, TEXTS, type Value } from './random-conditions.ts';

type Instance = Record<string, Value[]>;

function instanceOf(next: () => number): Instance {
  const one: Instance = {};
  for (const [keyword, values] of Object.entries(TEXTS))
    if (next() < 0.8) one[keyword] = values.filter(() => next() < 0.5);
  if (next() < 0.8) one.Rows = [Math.floor(next() * 4)];
  if (next() < 0.6) one[NESTED] = ['A', 'B'].filter(() => next() < 0.7);
  if (next() < 0.7) one.StudyDate = [`2024010${1 + Math.floor(next() * 4)}`];
  return one;
}

function factsOf(one: Instance): InstanceFacts {
  const { [NESTED]: steps = [], ...plain } = one;
  return {
    dataSets: [
      dicom({
        ...plain,
        RequestAttributesSequence: steps.map((step) => dicom({ ScheduledProcedureStepID: step })),
      }),
    ],
    association: {
      CallingAETitle: undefined,
      CalledAETitle: undefined,
      SourceAddress: undefined,
      StowUser: undefined,
    },
    at: new Date('2024-02-07T10:00:00Z'),
  };
}

/** As the schema says it, one instance at a time. */
function reads(condition: Condition, one: Instance): boolean {
  return Object.entries(condition).every(([key, asked]) => {
    if (key === 'not') return !reads(asked as Condition, one);
    if (key === 'any') return (asked as Condition[]).some((inner) => reads(inner, one));
    if (key === 'all')
      return Array.isArray(asked)
        ? asked.every((inner) => reads(inner, one))
        : reads(asked as Condition, one);
    if (key === 'present') return (one[asked as string] ?? []).length > 0;
    if (key === 'absent') return (one[asked as string] ?? []).length === 0;
    return (one[key] ?? []).some((value) => {
      const options = Array.isArray(asked) ? asked : [asked];
      return options.some((option) => {
        if (typeof option === 'object') {
          const { from, to, pattern } = option as { from?: Value; to?: Value; pattern?: string };
          if (pattern !== undefined) return new RegExp(pattern).test(String(value));
          return (from === undefined || value >= from) && (to === undefined || value <= to);
        }
        if (typeof option === 'string' && option.endsWith('*'))
          return String(value).startsWith(option.slice(0, -1));
        return value === option;
      });
    });
  });
}

test('random nested conditions hold exactly when a naive reading of them does', () => {
  const next = random(20_241_122);
  let held = 0;
  for (let round = 0; round < 4000; round++) {
    const when = conditionOf(next, 4);
    const every = next() < 0.3 && !('all' in when) ? conditionOf(next, 2) : undefined;
    const unit = Array.from({ length: 1 + Math.floor(next() * 4) }, () => instanceOf(next));
    const asked = every ? { ...when, all: every } : when;
    const some = unit.some((one) => reads(asked, one));
    const expected = some && (every === undefined || unit.every((one) => reads(every, one)));
    const decision = matchRule(parseRule({ when: asked, send: ['p'] }).condition, unit.map(factsOf));
    expect(decision.matched, JSON.stringify({ asked, unit })).toBe(expected);
    for (const { path, attribute: keyword } of decision.decided) {
      expect(path.startsWith('when.')).toBe(true);
      expect(attribute(keyword.split('.').at(-1)!)).toBeDefined();
    }
    if (expected) held++;
  }
  expect(held, 'both outcomes are common').toBeGreaterThan(800);
  expect(held).toBeLessThan(3200);
});
