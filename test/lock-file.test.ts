/**
 * The lock file installs everywhere: every package that any platform may choose has its entry (a registry that lacks
 * one makes `npm install` drop it, and then `npm ci` refuses the whole file), and no entry names a download address.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

interface Entry {
  resolved?: string;
  link?: boolean;
  optionalDependencies?: Record<string, string>;
}

const file = path.resolve(import.meta.dirname, '..', 'package-lock.json');
const { packages } = JSON.parse(readFileSync(file, 'utf8')) as { packages: Record<string, Entry> };

describe('package-lock.json', () => {
  it('has an entry for every optional dependency', () => {
    const missing = Object.entries(packages).flatMap(([name, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies)
        .filter((dep) => !(`node_modules/${dep}` in packages) && !(`${name}/node_modules/${dep}` in packages))
        .map((dep) => `${dep} (of ${name})`),
    );
    expect(missing).toEqual([]);
  });

  it('names no download address', () => {
    const addressed = Object.entries(packages).filter(
      ([, entry]) => !entry.link && entry.resolved !== undefined,
    );
    expect(addressed.map(([name]) => name)).toEqual([]);
  });
});
