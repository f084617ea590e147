/**
 * The connection to an S3 server: MinIO's client with every wait bounded and its own retries off (a journal stands
 * behind our writes, and a repeated half-sent body would be a wrong one).
 * Made by s3-store.ts; s3-upload.ts and s3-bucket.ts send their requests through it.
 */
import http, { type IncomingMessage, type RequestOptions } from 'node:http';
import https from 'node:https';
import { Client } from 'minio';
import { Failure } from '../../failure.ts';

export interface S3Connection {
  /** http(s)://host[:port] */
  readonly endpoint: string;
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
  /** Bucket in the path; default true everywhere but at Amazon, which wants it in the host name. */
  readonly pathStyle?: boolean;
  /** A request fails when nothing moves for this long; default 30 s. */
  readonly timeoutMs?: number;
}

export interface S3Client extends S3Connection {
  readonly client: Client;
  readonly timeoutMs: number;
  close(): void;
}

const socketsAtOnce = 32;
/** Statuses after which MinIO's client throws without having read the answer, so its socket would never be free again. */
const unreadStatuses: ReadonlySet<number | undefined> = new Set([408, 429, 499, 500, 502, 503, 504, 520]);

export function createS3Client(connection: S3Connection): S3Client {
  const url = new URL(connection.endpoint);
  if (url.pathname !== '/' || url.search !== '' || url.username !== '') {
    throw new Failure(
      'invalid',
      'S3_ENDPOINT: expected http(s)://host[:port] with no path, query or user in it.',
    );
  }
  const timeoutMs = connection.timeoutMs ?? 30_000;
  const base = url.protocol === 'https:' ? https : http;
  const agent = new base.Agent({ keepAlive: true, maxSockets: socketsAtOnce, scheduling: 'lifo' });
  const client = new Client({
    endPoint: url.hostname.replace(/^\[|\]$/g, ''),
    ...(url.port === '' ? {} : { port: Number(url.port) }),
    useSSL: url.protocol === 'https:',
    accessKey: connection.accessKey,
    secretKey: connection.secretKey,
    region: connection.region,
    pathStyle: connection.pathStyle ?? !/(^|\.)amazonaws\.com(\.cn)?$/.test(url.hostname),
    retryOptions: { disableRetry: true },
    transportAgent: agent,
    transport: { request: boundedRequest(base, timeoutMs) as typeof http.request },
  });
  // Over TLS the client would leave bodies unsigned; the server is to check the hash of every object we send.
  client.enableSHA256 = true;
  return { ...connection, client, timeoutMs, close: () => agent.destroy() };
}

/** http.request with a limit on silence, from the name look-up to the last byte of the answer. */
function boundedRequest(base: typeof http | typeof https, timeoutMs: number) {
  return (options: RequestOptions, onResponse: (response: IncomingMessage) => void) => {
    const request = base.request({ ...options, timeout: timeoutMs }, (response) => {
      if (unreadStatuses.has(response.statusCode)) response.resume();
      onResponse(response);
    });
    request.once('timeout', () => request.destroy(new Error(`nothing moved for ${timeoutMs} ms`)));
    return request;
  };
}
