/**
 * How hard the torture suites try. `npm test` (and so CI) runs each in its short form, all of them within fifteen
 * minutes; `npm run torture` runs the long one, by hand. Both break the same things on purpose, only fewer times.
 */
const long = process.env.TORTURE === 'long';

/** @returns how often to do it in this run */
export function times(short: number, many: number): number {
  return long ? many : short;
}

/** Limit of one test, in ms: patient in the long form. A time-out is a hang, never a verdict on speed. */
export function limitMs(short: number, many: number): number {
  return long ? many : short;
}
