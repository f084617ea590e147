/** The table of CONFORMANCE.md that names a test for each requirement of PS3.18: each of them has to be there. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const test = resolve(import.meta.dirname, '..');
const text = readFileSync(join(test, '../CONFORMANCE.md'), 'utf8');
const [, after = ''] = text.split('### Each requirement and its test\n');
const [section = ''] = after.split(/^#{2,3} /m);
/** The last cell: a file under test/ and the beginning of a title in it. */
const rows = [...section.matchAll(/^\|.*\| ([^|]+) \| `([^`]+)` ([^|]+) \|$/gm)].map(
  ([, requirement = '', file = '', title = '']) => ({ requirement, file, title }),
);
const lines = section.split('\n').filter((line) => line.startsWith('|'));

describe('the conformance table', () => {
  it('has a test in every row', () => {
    // Two lines are its head.
    expect(rows).toHaveLength(lines.length - 2);
    expect(rows.length).toBeGreaterThan(30);
  });

  it.each(rows)('$requirement: $file has the test', ({ file, title }) => {
    expect(existsSync(join(test, file))).toBe(true);
    const source = readFileSync(join(test, file), 'utf8');
    // The formatter may set a long title on a line of its own.
    const begins = ["'", '`'].some((quote) => source.replaceAll(/\(\s+/g, '(').includes(`(${quote}${title}`));
    expect(begins, `no test "${title}"`).toBe(true);
  });
});
