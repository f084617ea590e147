/**
 * How hard the torture suites try. `npm test` (and so CI) runs each in its short form, all of them within fifteen
 * minutes; `npm run torture` runs the long one, by hand. Both break the same things on purpose, only fewer times.
 * TORTURE=0.25 is a quarter of the long form, for a machine that others need in between.
 */
const share = process.env.TORTURE === 'long' ? 1 : Number(process.env.TORTURE ?? 0);
const long = share > 0;

/** @returns how often to do it in this run */
export function times(short: number, many: number): number {
  return long ? Math.ceil(many * share) : short;
}

/** Limit of one test, in ms: patient in the long form. A time-out is a hang, never a verdict on speed. */
export function limitMs(short: number, many: number): number {
  return long ? many : short;
}
