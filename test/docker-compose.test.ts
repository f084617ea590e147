/**
 * Holds docker-compose.yml, Dockerfile and .ci/run to what they promise, without Docker: nothing published beyond this
 * machine, no setting that Isocenter does not know, no path or image left to chance, every peer of the tests installed.
 */
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { CONFIG_NAMES, parseConfig } from '../src/config.ts';
import { peers } from './support/peers.ts';

interface Service {
  image?: string;
  build?: string | { context: string; dockerfile?: string };
  environment?: Record<string, string>;
  ports?: string[];
  volumes?: string[];
  healthcheck?: { test: string[] };
  depends_on?: Record<string, { condition: string }>;
}
interface Compose {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');

describe('docker-compose.yml', () => {
  const text = read('docker-compose.yml');
  const { services, volumes } = parse(text, { uniqueKeys: true }) as Compose;
  const isocenter = services.isocenter!;
  /** What a setting is when nobody set anything, as Compose would say. */
  const withDefaults = (value: string) => value.replace(/\$\{\w+:-([^}]*)\}/g, '$1');
  const settings = Object.fromEntries(
    Object.entries(isocenter.environment!).map(([name, value]) => [name, withDefaults(value)]),
  );

  it('has the five parts of the house', () => {
    expect(Object.keys(services).sort()).toEqual(['isocenter', 'minio', 'pacs', 'postgres', 'redis']);
  });

  it('publishes every port on 127.0.0.1 alone', () => {
    const ports = Object.values(services).flatMap((service) => service.ports ?? []);
    expect(ports.length).toBeGreaterThan(0);
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
    expect(text).not.toMatch(/network_mode|privileged/);
  });

  it('gives Isocenter only settings it knows, and ones it accepts', () => {
    expect(Object.keys(settings).filter((name) => !CONFIG_NAMES.includes(name))).toEqual([]);
    const config = parseConfig({ ...settings, ISOCENTER_DATA: '/data' }, root);
    expect(config.s3?.endpoint).toBe('http://minio:9000');
    expect(config.publicUrl).toBe('http://localhost:8080');
    expect(isocenter.ports).toContain(`127.0.0.1:${config.http.port}:${config.http.port}`);
    expect(isocenter.ports).toContain(`127.0.0.1:${config.dicom.port}:${config.dicom.port}`);
  });

  it('wires the parts by the same names and passwords', () => {
    const { hostname, username, password, pathname } = new URL(settings.DATABASE_URL!);
    const postgres = services.postgres!.environment!;
    expect(hostname).toBe('postgres');
    expect([username, password, pathname]).toEqual([
      postgres.POSTGRES_USER,
      withDefaults(postgres.POSTGRES_PASSWORD!),
      `/${postgres.POSTGRES_DB}`,
    ]);
    const minio = services.minio!.environment!;
    expect(isocenter.environment!.S3_ACCESS_KEY).toBe(minio.MINIO_ROOT_USER);
    expect(isocenter.environment!.S3_SECRET_KEY).toBe(minio.MINIO_ROOT_PASSWORD);
    for (const name of ['S3_ENDPOINT', 'REDIS_URL']) {
      expect(Object.keys(services)).toContain(new URL(settings[name]!).hostname);
    }
  });

  it('waits for the health of what Isocenter needs', () => {
    expect(Object.keys(isocenter.depends_on!).sort()).toEqual(['minio', 'postgres', 'redis']);
    for (const [name, { condition }] of Object.entries(isocenter.depends_on!)) {
      expect(condition).toBe('service_healthy');
      expect(services[name]!.healthcheck?.test.length, name).toBeGreaterThan(1);
    }
  });

  it('names volumes it has, build contexts that exist and images by their version', () => {
    for (const [name, service] of Object.entries(services)) {
      for (const volume of service.volumes ?? [])
        expect(Object.keys(volumes)).toContain(volume.split(':')[0]);
      if (service.build) {
        const context = typeof service.build === 'string' ? service.build : service.build.context;
        const dockerfile = typeof service.build === 'string' ? undefined : service.build.dockerfile;
        expect(existsSync(join(root, context, dockerfile ?? 'Dockerfile')), name).toBe(true);
      } else {
        expect(service.image, name).toMatch(/^[a-z0-9/-]+:(?!latest$)[\w.-]*\d[\w.-]*$/);
      }
    }
  });

  it('holds no secret but the marked demo values', () => {
    const secret = /(PASSWORD|SECRET|TOKEN|ACCESS_KEY|ROOT_USER)$/;
    for (const { environment = {} } of Object.values(services)) {
      for (const [name, value] of Object.entries(environment)) {
        if (secret.test(name)) expect(value, name).toMatch(/^\$\{\w+:-(local-demo-only)?\}$/);
      }
    }
  });
});

describe('Dockerfile', () => {
  const lines = read('Dockerfile')
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));

  it('copies from paths that exist and that .dockerignore lets through', () => {
    const allowed = read('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    const copied = lines
      .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
      .flatMap((line) => line.split(/\s+/).slice(1, -1));
    expect(copied.length).toBeGreaterThan(3);
    for (const path of copied) {
      expect(existsSync(join(root, path)), path).toBe(true);
      expect(allowed, path).toContain(path.split('/')[0]);
    }
  });

  it('runs as an ordinary user, drains on SIGTERM and says how it is', () => {
    expect(lines).toContain('USER node');
    expect(lines).toContain('STOPSIGNAL SIGTERM');
    expect(lines.find((line) => line.startsWith('HEALTHCHECK'))).toContain('/health/ready');
    const command = JSON.parse(lines.at(-1)!.replace(/^CMD /, '')) as string[];
    expect(command[0]).toBe('node');
    const program = command.slice(1).find((word) => !word.startsWith('-'));
    expect(existsSync(join(root, program!))).toBe(true);
  });

  it('runs the Node release that the project names', () => {
    const { devDependencies } = JSON.parse(read('package.json')) as {
      devDependencies: Record<string, string>;
    };
    const major = devDependencies.node!.split('.')[0];
    for (const line of lines.filter((line) => line.startsWith('FROM ')))
      expect(line).toContain(`node:${major}-slim`);
  });
});

describe('.ci/run', () => {
  const text = read('.ci/run');

  it('installs every peer of the tests', () => {
    const words = new Set(text.split(/\s+/));
    for (const [name, { debian }] of Object.entries(peers)) {
      if (name === 'fhir') continue;
      // From the npm registry, by a script of ours.
      if (name === 'ohif') {
        expect(text).toContain('test/support/fetch-ohif.ts');
        continue;
      }
      // What follows a comma is said to people.
      for (const name of debian.split(',')[0]!.split(' ')) expect([...words], name).toContain(name);
    }
  });

  it('can be run, and ends with the test command of the README', () => {
    expect(statSync(join(root, '.ci/run')).mode & 0o111).toBe(0o111);
    expect(text.trimEnd().split('\n').at(-1)).toBe('npm ci && npm test');
  });
});

describe('storage/buckets', () => {
  it('holds settings that can be read', () => {
    const files = globSync('storage/buckets/*.json', { cwd: root });
    expect(files).toContain('storage/buckets/objects.json');
    for (const file of files) expect(() => JSON.parse(read(file)) as unknown).not.toThrow();
  });
});
