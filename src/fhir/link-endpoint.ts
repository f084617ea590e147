/**
 * Keeps one Endpoint for our DICOMweb at the EHR, and tells its reference to link-study.ts.
 * It is made once per FHIR server, found again by our own identifier, and updated when PUBLIC_URL changes.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Queryable } from '../archive/database/database.ts';
import { Failure } from '../failure.ts';
import { endpointIdentifier, toEndpoint } from './endpoint.ts';
import { type FhirClient, matches, token } from './fhir-client.ts';
import type { Endpoint } from './resource.ts';
import { isFhirId } from './uid-identifier.ts';

interface Known {
  key: string;
  resource_id: string | null;
  address: string | null;
}

/**
 * @returns "Endpoint/ID", without a request when the EHR knows our present address
 * @throws the client's Failures
 */
export async function ensureEndpoint(db: Queryable, client: FhirClient, publicUrl: string): Promise<string> {
  await db.query('insert into fhir_endpoint (server) values ($1) on conflict do nothing', [client.baseUrl]);
  const { rows } = await db.query<Known>(
    'select key, resource_id, address from fhir_endpoint where server = $1',
    [client.baseUrl],
  );
  const known = rows[0];
  if (!known)
    throw new Failure('conflict', 'The Endpoint of this FHIR server was forgotten while it was made.');
  const ours = toEndpoint(publicUrl, known.key);
  if (known.resource_id !== null && known.address === ours.address) return `Endpoint/${known.resource_id}`;

  const id = await writeEndpoint(client, ours, known.key);
  await db.query(
    'update fhir_endpoint set resource_id = $2, address = $3, changed_at = now() where server = $1',
    [client.baseUrl, id, ours.address],
  );
  return `Endpoint/${id}`;
}

/** @returns "Endpoint/ID"; undefined where this server never had one of ours */
export async function knownEndpoint(db: Queryable, client: FhirClient): Promise<string | undefined> {
  const { rows } = await db.query<{ resource_id: string | null }>(
    'select resource_id from fhir_endpoint where server = $1',
    [client.baseUrl],
  );
  const id = rows[0]?.resource_id ?? undefined;
  return id === undefined ? undefined : `Endpoint/${id}`;
}

/** Whether the EHR has an Endpoint of ours under another address than today's. */
export async function hasOldAddress(db: Queryable, client: FhirClient, publicUrl: string): Promise<boolean> {
  const old = await db.query('select from fhir_endpoint where server = $1 and address <> $2', [
    client.baseUrl,
    toEndpoint(publicUrl).address,
  ]);
  return old.rowCount > 0;
}

async function writeEndpoint(client: FhirClient, ours: Endpoint, key: string): Promise<string> {
  const { system, value } = endpointIdentifier(key);
  const query = { identifier: token(system, value) };
  const bundle = await client.search<Endpoint>('Endpoint', query);
  const found = matches(bundle, 'Endpoint').find((endpoint) =>
    endpoint.identifier?.some((one) => one.system === system && one.value === value),
  );
  if (found?.id === undefined) return idOf((await client.create(ours, query)).id);
  const current = await client.read<Endpoint>('Endpoint', found.id);
  if (current.resource === undefined)
    throw new Failure('peer-refused', `${client.host} gave an Endpoint without content.`);
  const merged: Endpoint = { ...current.resource, ...ours, identifier: current.resource.identifier ?? [] };
  if (!isDeepStrictEqual(merged, current.resource)) await client.update(merged, current.versionId);
  return idOf(found.id);
}

function idOf(id: string | undefined): string {
  if (id !== undefined && isFhirId(id)) return id;
  throw new Failure('peer-refused', 'The FHIR server created an Endpoint and did not say under which id.');
}
