import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { Failure } from '../../src/failure.ts';
import { createFhirClient, type FhirClientParts, matches, token } from '../../src/fhir/fhir-client.ts';
import { outcomeSummary } from '../../src/fhir/outcome.ts';

let server: Server;
afterEach(() => {
  server?.close();
  server?.closeAllConnections();
});

async function client(answer: RequestListener, more: Partial<FhirClientParts> = {}) {
  server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return createFhirClient({ baseUrl: `http://127.0.0.1:${port}/fhir`, token: undefined, ...more });
}

const failure = (work: Promise<unknown>): Promise<Failure> =>
  work.then(
    () => {
      throw new Error('it worked');
    },
    (thrown: unknown) => thrown as Failure,
  );

test.each([
  [400, 'peer-refused'],
  [401, 'peer-refused'],
  [404, 'not-found'],
  [408, 'peer-unreachable'],
  [409, 'conflict'],
  [410, 'not-found'],
  [412, 'conflict'],
  [422, 'peer-refused'],
  [429, 'peer-unreachable'],
  [500, 'peer-unreachable'],
  [503, 'peer-unreachable'],
])('%i is %s', async (status, kind) => {
  const fhir = await client((_request, response) => response.writeHead(status).end('not JSON'));
  expect((await failure(fhir.read('Patient', 'x'))).kind).toBe(kind);
});

test.each([
  ['120', 120],
  ['999999999', 86_400],
  ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
  ['soon', undefined],
])('Retry-After %s is %s seconds', async (header, seconds) => {
  const fhir = await client((_request, response) => response.writeHead(503, { 'retry-after': header }).end());
  expect((await failure(fhir.read('Patient', 'x'))).retryAfterS).toBe(seconds);
});

test('an answer without end is cut', async () => {
  const fhir = await client(
    (_request, response) => {
      response.writeHead(200);
      const more = (): void => {
        while (response.write('x'.repeat(65_536)));
        response.once('drain', more);
      };
      more();
    },
    { maxBytes: 1_000_000 },
  );
  expect((await failure(fhir.search('Patient', {}))).message).toContain('more than 1000000 bytes');
});

test('a search that is answered by no Bundle is refused', async () => {
  const fhir = await client((_request, response) => response.end('{"resourceType":"Patient"}'));
  expect((await failure(fhir.search('Patient', {}))).kind).toBe('peer-refused');
});

test('a redirect is not followed: the token would go along', async () => {
  const fhir = await client((_request, response) =>
    response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
  );
  expect((await failure(fhir.read('Patient', 'x'))).kind).toBe('peer-unreachable');
});

test('an answer without body still says id and version', async () => {
  const fhir = await client((_request, response) =>
    response.writeHead(201, { location: 'https://ehr/fhir/Endpoint/e-1/_history/4' }).end(),
  );
  const endpoint = { resourceType: 'Endpoint' as const };
  expect(await fhir.create(endpoint, { identifier: 'a|b' })).toEqual({
    status: 201,
    resource: undefined,
    id: 'e-1',
    versionId: '4',
  });
});

test('no query, no value of a patient in the words of a failure', async () => {
  const outcome = {
    resourceType: 'OperationOutcome',
    issue: [{ code: 'processing', diagnostics: 'P-77 is unknown' }],
  };
  const fhir = await client((_request, response) => response.writeHead(400).end(JSON.stringify(outcome)));
  const { message } = await failure(fhir.search('Patient', { identifier: token('urn:x', 'P-77') }));
  expect(message).toMatch(/answered 400 to GET Patient \(processing\)\.$/);
});

test('search syntax inside an identifier is escaped', () => {
  expect(token('urn:x', 'a|b,c$d\\e')).toBe('urn:x|a\\|b\\,c\\$d\\\\e');
});

test('matches are of the type and no remarks', () => {
  const entry = [
    { resource: { resourceType: 'Patient' as const, id: '1' } },
    { resource: { resourceType: 'Patient' as const, id: '2' }, search: { mode: 'include' } },
    { resource: { resourceType: 'OperationOutcome', id: '3' } as never },
    {},
  ];
  expect(
    matches({ resourceType: 'Bundle', type: 'searchset', entry }, 'Patient').map((one) => one.id),
  ).toEqual(['1']);
  expect(matches({ resourceType: 'Bundle', type: 'searchset' }, 'Patient')).toEqual([]);
});

test.each([
  [undefined, ''],
  ['text', ''],
  [{ issue: 'x' }, ''],
  [{ issue: [null, 3, {}] }, 'unknown; unknown; unknown'],
  [{ issue: [{ code: 'Jane Roe' }] }, 'unknown'],
  [
    { issue: [{ code: 'value', expression: ["a.where(b='Roe')", 'ImagingStudy.series[0].uid'] }] },
    'value at ImagingStudy.series[0].uid',
  ],
  [{ issue: Array(9).fill({ code: 'value' }) }, 'value; value; value; value; value and 4 more'],
])('the outcome %j is kept as "%s"', (body, summary) => {
  expect(outcomeSummary(body)).toBe(summary);
});
