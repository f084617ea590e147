/** Random nested conditions over a few attributes that random instances have, the same in every run. */
export type Value = string | number;
export type Condition = { [key: string]: unknown };

/** mulberry32: the same conditions in every run. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export const TEXTS: Record<string, string[]> = {
  Modality: ['CT', 'MR', 'SR'],
  BodyPartExamined: ['HEAD', 'CHEST'],
};
export const NESTED = 'RequestAttributesSequence.ScheduledProcedureStepID';

function leafOf(next: () => number): Condition {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)]!;
  const keyword = pick(['Modality', 'BodyPartExamined', 'Rows', NESTED, 'StudyDate']);
  const value = (): Value => {
    if (keyword === 'Rows') return Math.floor(next() * 4);
    if (keyword === 'StudyDate') return `2024010${1 + Math.floor(next() * 4)}`;
    return keyword === NESTED ? pick(['A', 'B', 'C']) : pick(TEXTS[keyword]!);
  };
  const ranged = keyword === 'Rows' || keyword === 'StudyDate';
  switch (pick(['equals', 'in', 'present', 'absent', ranged ? 'range' : 'wildcard', 'pattern'])) {
    case 'in':
      return { [keyword]: [value(), value()] };
    case 'present':
      return { present: keyword };
    case 'absent':
      return { absent: keyword };
    case 'range': {
      const [from, to] = [value(), value()].sort();
      return { [keyword]: next() < 0.3 ? { from } : next() < 0.4 ? { to } : { from, to } };
    }
    case 'wildcard':
      return { [keyword]: `${String(value())[0]}*` };
    case 'pattern':
      return { [keyword]: { pattern: `^${String(value()).slice(0, 2)}` } };
    default:
      return { [keyword]: value() };
  }
}

export function conditionOf(next: () => number, depth: number): Condition {
  const kind = next();
  if (depth === 0 || kind < 0.4) return leafOf(next);
  const inner = () => conditionOf(next, depth - 1);
  if (kind < 0.55) return { not: inner() };
  if (kind < 0.75) return { any: [inner(), inner()] };
  if (kind < 0.9) return { all: [inner(), inner()] };
  return { ...leafOf(next), not: inner() };
}
