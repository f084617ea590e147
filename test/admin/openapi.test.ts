import { afterAll, beforeAll, expect, test } from 'vitest';
import { mountedRoutes, openApi } from '../../src/admin/openapi.ts';
import { ROUTE_DESCRIPTIONS } from '../../src/admin/route-descriptions.ts';
import { createAdminRoutes } from '../../src/admin/routes.ts';
import type { Database } from '../../src/archive/database/database.ts';
import { createDicomwebRoutes, type DicomwebDoor } from '../../src/dicomweb/routes.ts';
import { createFhirRoutes } from '../../src/fhir/routes.ts';
import { createForwardingRoutes } from '../../src/forwarding/routes.ts';
import { createLog } from '../../src/log.ts';
import { createRoutingRoutes } from '../../src/routing/routes.ts';
import { createAeRoutes } from '../../src/scp/ae-routes.ts';
import { createCommitmentRoutes } from '../../src/scp/commitment-routes.ts';
import { bareArchive } from '../archive/bare-archive.ts';

/** Routes are only listed here, never called, so nothing stands behind them. */
const nothing = {} as never;
const log = createLog('silent', 'test');
const database: Database = nothing;
let dicomweb: DicomwebDoor;

beforeAll(() => {
  dicomweb = createDicomwebRoutes({ archive: nothing, publicUrl: undefined, allowDelete: false, log });
});
afterAll(() => dicomweb.stop());

const routers = () => {
  const doors = [
    dicomweb.router,
    createAeRoutes({ table: nothing, refresh: nothing, open: nothing }),
    createCommitmentRoutes(nothing),
    createRoutingRoutes({ table: nothing }),
    createForwardingRoutes({ deliveries: nothing, orders: nothing, table: nothing, test: nothing }),
    createFhirRoutes({ database, publicUrl: () => '', patientSystem: undefined, version: '0', log }),
  ];
  return [
    ...doors,
    createAdminRoutes({ archive: bareArchive(database), tryOut: nothing, version: '0', routers: doors }),
  ];
};

test('describes exactly the routes that are mounted', () => {
  const mounted = mountedRoutes(routers()).map(({ method, path }) => `${method.toUpperCase()} ${path}`);
  expect(mounted.length).toBe(new Set(mounted).size);
  expect(Object.keys(ROUTE_DESCRIPTIONS).sort()).toEqual(mounted.sort());
});

test('every parameter of a path is declared, every operation has its words and its answers', () => {
  const document = openApi(routers(), '1.2.3') as {
    openapi: string;
    paths: Record<string, Record<string, { summary: string; parameters?: { name: string; in: string }[] }>>;
  };
  expect(document.openapi).toBe('3.1.0');
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  expect(operations.length).toBe(Object.keys(ROUTE_DESCRIPTIONS).length);
  for (const { path, operation } of operations) {
    expect(path).toMatch(/^(\/[A-Za-z0-9.{}_-]+)+$/);
    const declared = (operation.parameters ?? [])
      .filter((one) => one.in === 'path')
      .map((one) => `{${one.name}}`);
    expect(declared).toEqual(path.match(/\{\w+\}/g) ?? []);
    expect(operation.summary, path).not.toBe('');
  }
  expect(document.paths['/api/fhir/unlinked/{study}/retry']).toMatchObject({
    post: { responses: { 202: {} } },
  });
  const { content: rule } = (
    document.paths['/api/rules/{name}']!.put as { requestBody?: { content?: object } }
  ).requestBody!;
  expect(rule).toMatchObject({
    'application/json': {
      schema: { title: 'Rule', properties: { when: {}, send: {} } },
      examples: { clock: { value: { when: { Clock: [{ zone: 'Europe/Berlin' }, {}] } } } },
    },
  });
  const told = { content: { 'application/dicom+json': {} } };
  expect(document.paths['/dicom-web/studies']!.post).toMatchObject({
    requestBody: {
      content: {
        'multipart/related; type="application/dicom"': {},
        'multipart/related; type="application/dicom+json"': {},
      },
    },
    responses: { 200: told, 202: told, 409: told, default: { content: { 'application/json': {} } } },
  });
});

test('says what a destination may be told, from the schema that checks it', () => {
  const { paths } = openApi(routers(), '0') as {
    paths: Record<string, Record<string, { requestBody: { content: Record<string, { schema: object }> } }>>;
  };
  const { schema } = paths['/api/destinations/{name}']!.put!.requestBody.content['application/json']!;
  const kinds = (schema as { oneOf: { properties: { kind: { const: string } } }[] }).oneOf;
  expect(kinds.map(({ properties }) => properties.kind.const)).toEqual(['dimse', 'stow', 'folder', 'group']);
  expect(JSON.stringify(schema)).toContain('IANA time zone');
});
