/**
 * Starts the EHR of the tests (fhir-peer-main.ts) as a process of its own and asks it what it holds.
 * For conflicts, lost answers and outages put fault-proxy.ts in front of it.
 */
import { fileURLToPath } from 'node:url';
import { startChild } from './child.ts';

export interface FhirResource {
  resourceType: string;
  id?: string;
  meta?: { versionId?: string; lastUpdated?: string };
  [element: string]: unknown;
}

export interface FhirPeer {
  /** Base URL, no trailing slash. */
  readonly url: string;
  /** GET of 'Type/id'; a status other than 200 throws. */
  get(path: string): Promise<FhirResource>;
  /** Resources a search finds, e.g. search('ImagingStudy', { identifier: 'urn:dicom:uid|urn:oid:1.2.3' }). */
  search(type: string, parameters?: Readonly<Record<string, string>>): Promise<FhirResource[]>;
  /** POST; returns what was created. */
  create(resource: FhirResource): Promise<FhirResource>;
  /** PUT by id; returns the new version. */
  update(resource: FhirResource): Promise<FhirResource>;
  /** Number of versions a resource has. */
  versions(type: string, id: string): Promise<number>;
  stop(): Promise<void>;
}

export async function startFhirPeer(): Promise<FhirPeer> {
  const main = fileURLToPath(new URL('fhir-peer-main.ts', import.meta.url));
  const child = await startChild({
    command: process.execPath,
    args: [main],
    ready: (output) => /listening on \d+/.test(output),
    startSeconds: 60,
  });
  const url = `http://127.0.0.1:${/listening on (\d+)/.exec(child.output())![1]}/fhir`;
  const call = async (method: string, path: string, body?: FhirResource): Promise<FhirResource> => {
    const response = await fetch(`${url}/${path}`, {
      method,
      headers: { 'content-type': 'application/fhir+json' },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await response.text();
    if (!response.ok)
      throw new Error(`The FHIR peer answered ${response.status} to ${method} ${path}: ${text}`);
    return JSON.parse(text) as FhirResource;
  };
  const entries = (bundle: FhirResource) =>
    ((bundle.entry as { resource: FhirResource }[] | undefined) ?? []).map(({ resource }) => resource);
  return {
    url,
    get: (path) => call('GET', path),
    search: async (type, parameters = {}) =>
      entries(await call('GET', `${type}?${new URLSearchParams({ _count: '1000', ...parameters })}`)),
    create: (resource) => call('POST', resource.resourceType, resource),
    update: (resource) => call('PUT', `${resource.resourceType}/${resource.id}`, resource),
    versions: async (type, id) => entries(await call('GET', `${type}/${id}/_history`)).length,
    stop: () => child.stop(),
  };
}
