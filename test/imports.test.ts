/**
 * Holds the imports of src/ to their one direction (DESIGN.md section 2):
 * dicom <- {dimse, pixels, transform} <- archive <- routing <- {scp, forwarding, dicomweb, fhir} <- admin <- http <- main <- cli.
 * What stands in one pair of braces never imports its neighbour; failure, config, log, metrics and thread serve all and import
 * only each other. The viewer knows nothing of src.
 */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { importsOf } from './support/imports-of.ts';

/** Each floor may import from those before it. */
const floors = [
  ['failure', 'config', 'log', 'metrics', 'thread'],
  ['dicom'],
  ['dimse', 'pixels', 'transform'],
  ['archive'],
  ['routing'],
  ['scp', 'forwarding', 'dicomweb', 'fhir'],
  ['admin'],
  ['http'],
  ['main'],
  ['cli'],
] as const;

const root = fileURLToPath(new URL('..', import.meta.url));

/** 'src/archive/intake/journal.ts' is of the room 'archive', 'src/http.ts' of 'http'. */
function roomOf(path: string): string {
  return path.split('/')[1]!.replace(/\.ts$/, '');
}

function floorOf(room: string): number {
  return floors.findIndex((rooms) => (rooms as readonly string[]).includes(room));
}

/** What is wrong with the imports of one file of src/, one sentence each. `path` is relative to the project. */
function faultsOf(path: string, source: string): string[] {
  const faults: string[] = [];
  const room = roomOf(path);
  if (floorOf(room) < 0) faults.push(`${path} stands in a room that the floor plan does not have`);
  for (const specifier of importsOf(source, path)) {
    if (!specifier.startsWith('.')) continue;
    const target = normalize(join(dirname(path), specifier));
    if (!target.startsWith('src/')) {
      // Migrations and bucket settings are data that rooms read; tests, benchmarks and the viewer are nobody's parts.
      const isOwnData = target.startsWith('storage/') || target === 'package.json';
      const isBuiltViewer = room === 'http' && target.startsWith('web-viewer/dist');
      if (!isOwnData && !isBuiltViewer && !isRoot(target))
        faults.push(`${path} imports ${target}, outside of src`);
      continue;
    }
    const other = roomOf(target);
    if (floorOf(other) < 0) {
      faults.push(`${path} imports ${target}, of a room that the floor plan does not have`);
      continue;
    }
    const bothServeAll = floorOf(room) === 0 && floorOf(other) === 0;
    if (other === room || bothServeAll || floorOf(other) < floorOf(room)) continue;
    const way = floorOf(other) === floorOf(room) ? 'sideways' : 'upward';
    faults.push(`${path} imports ${target}: that runs ${way}, from ${room} to ${other}`);
  }
  return faults;
}

/** The project's folder itself, which the composition root resolves paths against. */
const isRoot = (target: string) => target === './' || target === '.';

const read = (path: string) => readFileSync(join(root, path), 'utf8');

describe('imports of src', () => {
  const files = globSync('src/**/*.ts', { cwd: root }).sort();

  it('are read from files that are there', () => {
    expect(files.length).toBeGreaterThan(20);
  });

  it('run one way', () => {
    expect(files.flatMap((path) => faultsOf(path, read(path)))).toEqual([]);
  });

  it('of the viewer do not reach into src', () => {
    const viewer = globSync('web-viewer/{*.ts,src/**/*.{ts,tsx}}', { cwd: root });
    expect(viewer.length).toBeGreaterThan(0);
    const reaching = viewer.filter((path) =>
      importsOf(read(path), path).some(
        (specifier) =>
          specifier.startsWith('.') && normalize(join(dirname(path), specifier)).startsWith('src/'),
      ),
    );
    expect(reaching).toEqual([]);
  });
});

describe('the check of imports itself', () => {
  const upward: Record<string, string> = {
    'a static import': `import { x } from '../routing/rule.ts';`,
    'an import of types': `import type { X } from '../routing/rule.ts';`,
    'a re-export': `export { x } from '../routing/rule.ts';`,
    'a re-export of all': `export * from '../routing/rule.ts';`,
    'a dynamic import': `const x = await import('../routing/rule.ts');`,
    'a type by import': `type X = import('../routing/rule.ts').X;`,
    'a worker': `new Worker(new URL('../routing/rule.ts', import.meta.url), { workerData: 1 });`,
    'import.meta.resolve': `const path = import.meta.resolve('../routing/rule.ts');`,
  };
  for (const [what, source] of Object.entries(upward)) {
    it(`catches ${what} that runs upward`, () => {
      expect(faultsOf('src/archive/made-up.ts', source)).toEqual([
        'src/archive/made-up.ts imports src/routing/rule.ts: that runs upward, from archive to routing',
      ]);
    });
  }

  it('catches neighbours, unknown rooms and what lies outside', () => {
    expect(faultsOf('src/scp/made-up.ts', `import '../forwarding/clock.ts';`)[0]).toContain('sideways');
    expect(faultsOf('src/log.ts', `import './dicom/uid.ts';`)[0]).toContain('upward');
    expect(faultsOf('src/utils/made-up.ts', '')[0]).toContain('floor plan');
    expect(faultsOf('src/scp/made-up.ts', `import '../drawer/x.ts';`)[0]).toContain('floor plan');
    expect(faultsOf('src/scp/made-up.ts', `import '../../test/support/peers.ts';`)[0]).toContain('outside');
    expect(faultsOf('src/scp/made-up.ts', `import '../../web-viewer/src/main.tsx';`)[0]).toContain('outside');
  });

  it('refuses an import it cannot read', () => {
    expect(() => faultsOf('src/scp/made-up.ts', 'await import(name);')).toThrow('plain string');
  });

  it('lets imports run down, within a room, and between what serves all', () => {
    const source = `
      import { Failure } from '../failure.ts';
      import { uid } from '../dicom/uid.ts';
      import { x } from './journal.ts';
      import pg from 'pg';
      // import { y } from '../routing/rule.ts';
      const text = "import '../routing/rule.ts'";`;
    expect(faultsOf('src/archive/made-up.ts', source)).toEqual([]);
    expect(faultsOf('src/log.ts', `import { Failure } from './failure.ts';`)).toEqual([]);
    expect(faultsOf('src/cli/send.ts', `import '../dimse/send.ts'; import '../main.ts';`)).toEqual([]);
  });
});
