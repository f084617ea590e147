/** The README stays true: its settings are the program's, its commands exist, what it links to is there. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { CONFIG_NAMES } from '../src/config.ts';

const root = path.resolve(import.meta.dirname, '..');
const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
const scripts = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')).scripts as Record<
  string,
  string
>;

describe('README', () => {
  it('has every setting in its table, and no other', () => {
    const table = readme.slice(readme.indexOf('| Name | Default'), readme.indexOf('## Where the data lies'));
    const named = [...table.matchAll(/^\| ([^|]+) \|/gm)].flatMap(([, cell]) =>
      [...cell!.matchAll(/`([A-Z0-9_]+)`/g)].map(([, name]) => name),
    );
    expect(named.sort()).toEqual([...CONFIG_NAMES].sort());
  });

  it('names only npm scripts and isocenter commands that exist', () => {
    for (const [, script] of readme.matchAll(/npm run ([a-z-]+)/g)) expect(scripts).toHaveProperty(script!);
    const cli = readFileSync(path.join(root, 'src', 'cli.ts'), 'utf8');
    for (const [, verb] of readme.matchAll(/npx isocenter ([a-z]+)/g))
      expect(cli).toContain(`case '${verb}'`);
  });

  it('links only to files that are there', () => {
    for (const [, target] of readme.matchAll(/\]\(([^)]+)\)/g))
      expect(existsSync(path.join(root, target!)), target).toBe(true);
  });
});
