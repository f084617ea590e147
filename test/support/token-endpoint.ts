/**
 * A small OAuth 2 token endpoint (RFC 6749 4.4, client credentials): gives bearer tokens to one client, lets them run
 * out or takes them back, and says of any Authorization header whether it is good. On 127.0.0.1, by HTTP or HTTPS.
 */
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';

export interface TokenEndpoint {
  readonly url: string;
  /** Forms of the requests, and their Authorization headers. */
  readonly asked: { form: URLSearchParams; authorization: string | undefined }[];
  /** Whether a resource server would let this header in. */
  isGood(authorization: string | undefined): boolean;
  /** No token given so far is good any more. */
  revoke(): void;
  stop(): Promise<void>;
}

export interface TokenEndpointOptions {
  clientId?: string;
  clientSecret?: string;
  expiresIn?: number;
  tls?: { key: string; cert: string };
  /** Answers instead, if it returns something. */
  answer?: () => { status: number; body: string } | undefined;
  delayMs?: number;
}

export async function startTokenEndpoint(options: TokenEndpointOptions = {}): Promise<TokenEndpoint> {
  const { clientId = 'router', clientSecret = 's3cret/+ä', expiresIn = 3600, delayMs = 0 } = options;
  const asked: TokenEndpoint['asked'] = [];
  const good = new Set<string>();
  const knows = (form: URLSearchParams, authorization: string | undefined): boolean => {
    if (authorization === undefined)
      return form.get('client_id') === clientId && form.get('client_secret') === clientSecret;
    const [id = '', secret = ''] = Buffer.from(authorization.replace(/^Basic /, ''), 'base64')
      .toString()
      .split(':')
      .map((text) => new URLSearchParams(`t=${text}`).get('t') ?? '');
    return id === clientId && secret === clientSecret;
  };
  const onRequest: http.RequestListener = async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const form = new URLSearchParams(body);
    const { authorization } = request.headers;
    asked.push({ form, authorization });
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    const send = (status: number, text: string) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(text);
    const instead = options.answer?.();
    if (instead) return void send(instead.status, instead.body);
    if (!knows(form, authorization)) return void send(401, '{"error":"invalid_client"}');
    if (form.get('grant_type') !== 'client_credentials')
      return void send(400, '{"error":"unsupported_grant_type"}');
    const token = randomUUID();
    good.add(`Bearer ${token}`);
    send(200, JSON.stringify({ access_token: token, token_type: 'Bearer', expires_in: expiresIn }));
  };
  const server = options.tls ? https.createServer(options.tls, onRequest) : http.createServer(onRequest);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}/token`,
    asked,
    isGood: (authorization) => authorization !== undefined && good.has(authorization),
    revoke: () => good.clear(),
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
