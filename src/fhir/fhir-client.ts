/**
 * Speaks FHIR's REST (R4 http.html) to the EHR's server: search, read, create, update; bounded in time and size.
 * Called by link-study.ts and link-endpoint.ts. It knows HTTP; what an answer means for a study it does not know.
 */
import { Failure } from '../failure.ts';
import { outcomeSummary } from './outcome.ts';
import type { Bundle, Resource } from './resource.ts';

export interface FhirClientParts {
  /** No trailing slash. */
  baseUrl: string;
  token: string | undefined;
  /** For one request with its answer's body. */
  timeoutMs?: number;
  /** Longest answer that is read. */
  maxBytes?: number;
  /** Ends requests under way when the program stops. */
  signal?: AbortSignal;
}

export interface Written<T> {
  /** 201 created; 200 updated, or somebody else's on a conditional create. */
  status: number;
  /** As the server holds it; undefined where it answers without a body. */
  resource: T | undefined;
  id: string | undefined;
  versionId: string | undefined;
}

/**
 * Failures of every call: 'peer-unreachable' for network errors, 408, 409, 412, 429 and 5xx (with retryAfterS where the
 * server gave one); of these 409 and 412 are 'conflict'; 'not-found' for 404 and 410; 'peer-refused' for the rest.
 */
export interface FhirClient {
  /** host[:port], as the disclosure record names the recipient. */
  readonly host: string;
  readonly baseUrl: string;
  /** The same client, which asks `before` ahead of every request: when it throws, nothing is sent. */
  guarded(before: () => Promise<void>): FhirClient;
  /** @param query parameter names and values; token values already escaped by `token()` */
  search<T extends Resource>(type: T['resourceType'], query: Record<string, string>): Promise<Bundle<T>>;
  read<T extends Resource>(type: T['resourceType'], id: string): Promise<Written<T>>;
  /** Conditional create (http.html#ccreate): 201, 200 when one matches already, 412 when several do. */
  create<T extends Resource>(resource: T, ifNoneExist: Record<string, string>): Promise<Written<T>>;
  /** Version aware update (http.html#concurrency); without a version the server's word is unconditional. */
  update<T extends Resource>(resource: T, ifMatch: string | undefined): Promise<Written<T>>;
}

const FHIR_JSON = 'application/fhir+json';
/** A server that names a pause of months has a broken clock, not a plan. */
const LONGEST_PAUSE_S = 86_400;

export function createFhirClient(parts: FhirClientParts): FhirClient {
  return clientWith(parts, async () => {});
}

function clientWith(parts: FhirClientParts, before: () => Promise<void>): FhirClient {
  const { baseUrl, token, timeoutMs = 20_000, maxBytes = 32 * 1024 * 1024 } = parts;
  const host = new URL(baseUrl).host;

  async function send(method: string, path: string, body?: Resource, extra: Record<string, string> = {}) {
    await before();
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = parts.signal ? AbortSignal.any([timeout, parts.signal]) : timeout;
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${baseUrl}/${path}`, {
        method,
        signal,
        redirect: 'error',
        headers: {
          accept: FHIR_JSON,
          ...(body && { 'content-type': FHIR_JSON, prefer: 'return=representation' }),
          ...(token && { authorization: `Bearer ${token}` }),
          ...extra,
        },
        ...(body && { body: JSON.stringify(body) }),
      });
      text = await boundedText(response, maxBytes);
    } catch (thrown) {
      if (thrown instanceof Failure) throw thrown;
      const why = timeout.aborted ? `did not answer within ${timeoutMs / 1000} s` : 'cannot be reached';
      throw new Failure('peer-unreachable', `The FHIR server ${host} ${why}.`, { cause: thrown });
    }
    const parsed = parse(text);
    if (!response.ok) throw refusal(host, method, path, response, parsed);
    return { response, parsed };
  }

  function written<T extends Resource>(response: Response, parsed: unknown, type: string): Written<T> {
    const isIt = (parsed as Resource | undefined)?.resourceType === type;
    const resource = isIt ? (parsed as T) : undefined;
    const [, locationId, locationVersion] =
      new RegExp(`${type}/([A-Za-z0-9\\-.]{1,64})(?:/_history/([A-Za-z0-9\\-.]{1,64}))?$`).exec(
        response.headers.get('location') ?? '',
      ) ?? [];
    const etag = /^(?:W\/)?"([^"]+)"$/.exec(response.headers.get('etag') ?? '')?.[1];
    return {
      status: response.status,
      resource,
      id: resource?.id ?? locationId,
      versionId: etag ?? resource?.meta?.versionId ?? locationVersion,
    };
  }

  return {
    host,
    baseUrl,
    guarded: (check) => clientWith(parts, check),

    async search<T extends Resource>(type: T['resourceType'], query: Record<string, string>) {
      const { parsed } = await send('GET', `${type}?${new URLSearchParams(query)}`);
      if ((parsed as Resource | undefined)?.resourceType !== 'Bundle')
        throw new Failure(
          'peer-refused',
          `The FHIR server ${host} answered a search of ${type} with no Bundle.`,
        );
      return parsed as Bundle<T>;
    },

    async read<T extends Resource>(type: T['resourceType'], id: string) {
      const { response, parsed } = await send('GET', `${type}/${id}`);
      return written<T>(response, parsed, type);
    },

    async create<T extends Resource>(resource: T, ifNoneExist: Record<string, string>) {
      const { response, parsed } = await send('POST', resource.resourceType, resource, {
        'if-none-exist': String(new URLSearchParams(ifNoneExist)),
      });
      return written<T>(response, parsed, resource.resourceType);
    },

    async update<T extends Resource>(resource: T, ifMatch: string | undefined) {
      const { response, parsed } = await send(
        'PUT',
        `${resource.resourceType}/${resource.id}`,
        resource,
        ifMatch === undefined ? {} : { 'if-match': `W/"${ifMatch}"` },
      );
      return written<T>(response, parsed, resource.resourceType);
    },
  };
}

/** A token parameter (search.html#token), with the characters that search itself uses escaped (search.html#escaping). */
export function token(system: string, value: string): string {
  const escaped = (part: string): string => part.replace(/[\\|,$]/g, (char) => `\\${char}`);
  return `${escaped(system)}|${escaped(value)}`;
}

/** The resources a search found: matches of the type, without included ones and the server's remarks. */
export function matches<T extends Resource>(bundle: Bundle<T>, type: T['resourceType']): T[] {
  return (bundle.entry ?? [])
    .filter((entry) => entry.search?.mode === undefined || entry.search.mode === 'match')
    .flatMap((entry) => (entry.resource?.resourceType === type ? [entry.resource] : []));
}

async function boundedText(response: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > maxBytes)
      throw new Failure('peer-refused', `The FHIR server answered more than ${maxBytes} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string): unknown {
  if (text.trim() === '') return undefined;
  try {
    return JSON.parse(text);
  } catch (thrown) {
    // An HTML error page of a proxy: the status alone speaks.
    if (thrown instanceof SyntaxError) return undefined;
    throw thrown;
  }
}

function refusal(host: string, method: string, path: string, response: Response, body: unknown): Failure {
  const type = path.split(/[/?]/)[0];
  const summary = outcomeSummary(body);
  const message = `The FHIR server ${host} answered ${response.status} to ${method} ${type}${summary && ` (${summary})`}.`;
  const { status } = response;
  if (status === 404 || status === 410) return new Failure('not-found', message);
  if (status === 409 || status === 412) return new Failure('conflict', message);
  if (status === 408 || status === 429 || status >= 500) {
    const retryAfterS = pause(response.headers.get('retry-after'));
    return new Failure('peer-unreachable', message, retryAfterS === undefined ? {} : { retryAfterS });
  }
  return new Failure('peer-refused', message);
}

/** Retry-After (RFC 9110 10.2.3): seconds, or a date. */
function pause(header: string | null): number | undefined {
  if (header === null) return undefined;
  const seconds = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(0, Math.ceil(seconds)), LONGEST_PAUSE_S) : undefined;
}
