/**
 * What `npm test` runs: every suite under test/ by vitest, then in plain words which suites were left out on this
 * machine and what would bring them in, and as its last line the count: `N passed, N failed`.
 * Arguments go to vitest: `npm test -- test/dicom`, `npm test -- -t 'torn file'`.
 * On CI nothing may be left out: a skipped test counts as a failed run there.
 */
import { parseCLI, type Reporter, startVitest, type TestCase, type TestModule } from 'vitest/node';
import { findPeer, missing, onCi, type PeerName, peers } from './support/peers.ts';

interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
  /** Titles of what did not run: a suite where all of it was skipped, else the single test. */
  leftOut: string[];
}

function countOutcome(modules: readonly TestModule[], unhandledErrors: number): Outcome {
  const outcome: Outcome = { passed: 0, failed: unhandledErrors, skipped: 0, leftOut: [] };
  const leftOut = new Set<string>();
  for (const module of modules) {
    const before = outcome.failed;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') outcome.passed += 1;
      else if (wasLeftOut(test) && module.state() !== 'failed') {
        outcome.skipped += 1;
        leftOut.add(titleLeftOut(test, module));
      } else if (!wasLeftOut(test)) outcome.failed += 1;
    }
    // A file or a hook that broke is a failure too, even when no single test is.
    if (module.state() === 'failed' && outcome.failed === before) outcome.failed += 1;
  }
  outcome.leftOut = [...leftOut];
  return outcome;
}

/** A skipped suite within a skipped suite leaves its tests "pending": vitest never looked at them. */
function wasLeftOut(test: TestCase): boolean {
  const { state } = test.result();
  if (state !== 'pending') return state === 'skipped';
  for (let parent = test.parent; parent.type === 'suite'; parent = parent.parent) {
    if (parent.options.mode === 'skip') return true;
  }
  return false;
}

function titleLeftOut(test: TestCase, module: TestModule): string {
  let title = test.fullName;
  for (let parent = test.parent; parent.type === 'suite'; parent = parent.parent) {
    if (parent.options.mode === 'skip') title = parent.fullName;
  }
  return `${title} (${module.relativeModuleId})`;
}

/** One paragraph per missing peer with the suites that name it, then what was left out for another reason. */
function sayLeftOut(titles: readonly string[]): string[] {
  const lines: string[] = [];
  let rest = titles;
  for (const name of Object.keys(peers) as PeerName[]) {
    if (findPeer(name)) continue;
    const named = rest.filter((title) => title.toLowerCase().includes(name));
    rest = rest.filter((title) => !named.includes(title));
    if (named.length > 0)
      lines.push(`Left out, because ${missing(name)}`, ...named.map((title) => `  ${title}`), '');
  }
  if (rest.length > 0)
    lines.push('Skipped for a reason of their own:', ...rest.map((title) => `  ${title}`), '');
  return lines;
}

let outcome: Outcome | undefined;
const counter: Reporter = {
  onTestRunEnd(modules, unhandledErrors) {
    outcome = countOutcome(modules, unhandledErrors.length);
  },
};

const { filter, options } = parseCLI(['vitest', ...process.argv.slice(2)]);
await startVitest(filter, { ...options, run: true, watch: false, reporters: ['default', counter] });

const { passed, failed, skipped, leftOut } = outcome ?? { passed: 0, failed: 0, skipped: 0, leftOut: [] };
// Tests that a name pattern excludes are "skipped" for vitest; nobody has to be told about those.
const wasSkipped = options.testNamePattern === undefined ? skipped : 0;
const lines = wasSkipped > 0 ? ['', ...sayLeftOut(leftOut)] : [];
if (passed + failed === 0) lines.push('No test ran.');
const bad = failed > 0 || passed === 0 || (onCi && wasSkipped > 0) || (process.exitCode ?? 0) !== 0;
if (bad && failed === 0 && wasSkipped > 0 && onCi)
  lines.push('On CI nothing may be skipped: this run failed.');
lines.push(`${passed} passed, ${failed} failed${wasSkipped > 0 ? `, ${wasSkipped} skipped` : ''}`);
// The run is over and everything is stopped; a handle that somebody left open must not keep it from ending.
process.stdout.write(`${lines.join('\n')}\n`, () => process.exit(bad ? 1 : 0));
