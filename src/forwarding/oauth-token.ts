/**
 * Access tokens for STOW destinations by OAuth 2 client credentials (RFC 6749 4.4): asked of the token endpoint once for
 * all who wait, kept in memory until shortly before their end, renewed when a server says 401.
 * Made by forwarding.ts, asked by stow-client.ts. Neither the secret nor a token is ever logged or part of a sentence.
 */
import { createHash } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { connectionFault } from '../dimse/connection-fault.ts';
import { Failure } from '../failure.ts';
import type { StowSettings } from '../routing/stow-destination.ts';
import { tlsOptions } from '../routing/tls-settings.ts';

export interface TokenSource {
  /**
   * For the Authorization header; undefined where the destination has no oauth.
   * @param refused a token that a server answered with 401: it is not used again
   * @throws Failure 'peer-unreachable' when the endpoint does not answer, 'peer-refused' when it gives no token
   */
  token(settings: StowSettings, refused?: string): Promise<string | undefined>;
}

interface Token {
  value: string;
  /** By performance.now(). */
  staleAt: number;
}

/** Where the endpoint does not say (RFC 6749 5.1 leaves that open). */
const LIFETIME_S = 300;
/** A token is not used in the last part of its life: clocks differ, and bodies take time. */
const MARGIN_S = 60;
const MOST_TOKENS = 1000;
const MAX_ANSWER_BYTES = 64 * 1024;

export function createTokenSource(options: { timeoutMs: number }): TokenSource {
  const tokens = new Map<string, Token>();
  const asking = new Map<string, Promise<Token>>();

  function ask(key: string, settings: StowSettings): Promise<Token> {
    const known = asking.get(key);
    if (known) return known;
    const asked = requestToken(settings, options.timeoutMs)
      .then((token) => {
        if (tokens.size >= MOST_TOKENS) tokens.clear();
        tokens.set(key, token);
        return token;
      })
      .finally(() => asking.delete(key));
    asking.set(key, asked);
    return asked;
  }

  return {
    async token(settings, refused) {
      if (!settings.oauth) return undefined;
      const key = createHash('sha256')
        .update(JSON.stringify([settings.oauth, settings.tls?.ca]))
        .digest('hex');
      const known = tokens.get(key);
      if (known && known.staleAt > performance.now() && known.value !== refused) return known.value;
      return (await ask(key, settings)).value;
    },
  };
}

async function requestToken(settings: StowSettings, timeoutMs: number): Promise<Token> {
  const { tokenUrl, clientId, clientSecret, scope, audience, clientAuth } = settings.oauth!;
  const form = new URLSearchParams({ grant_type: 'client_credentials' });
  if (scope !== undefined) form.set('scope', scope);
  if (audience !== undefined) form.set('audience', audience);
  if (clientAuth === 'post') {
    form.set('client_id', clientId);
    form.set('client_secret', clientSecret);
  }
  const headers = {
    accept: 'application/json',
    'content-type': 'application/x-www-form-urlencoded',
    ...(clientAuth === 'basic' && { authorization: basic(clientId, clientSecret) }),
  };
  const asked = performance.now();
  const { ca } = settings.tls ?? {};
  const answer = await post(new URL(tokenUrl), headers, form.toString(), ca, timeoutMs);
  return tokenOf(answer, new URL(tokenUrl).host, asked);
}

/** RFC 6749 2.3.1: both are form-encoded first. */
function basic(clientId: string, clientSecret: string): string {
  const encoded = [clientId, clientSecret].map((text) => new URLSearchParams({ text }).toString().slice(5));
  return `Basic ${Buffer.from(encoded.join(':')).toString('base64')}`;
}

function tokenOf({ status, text }: Answer, host: string, asked: number): Token {
  const said = parsed(text);
  if (status >= 500)
    throw new Failure('peer-unreachable', `The token endpoint at ${host} answered HTTP ${status}`);
  if (status !== 200) {
    const { error } = said;
    // A code of RFC 6749 5.2; a description might repeat what we sent.
    const code = typeof error === 'string' && /^[a-z_]{1,50}$/.test(error) ? ` (${error})` : '';
    throw new Failure('peer-refused', `The token endpoint at ${host} gives no token: HTTP ${status}${code}`);
  }
  const { access_token: value, token_type: type, expires_in: expires } = said;
  if (typeof value !== 'string' || !/^[\x21-\x7e]{1,16000}$/.test(value))
    throw new Failure('peer-refused', `The token endpoint at ${host} answered without an access_token`);
  if (typeof type === 'string' && type.toLowerCase() !== 'bearer')
    throw new Failure('peer-refused', `The token endpoint at ${host} gives a token that is no bearer token`);
  const seconds = Number(expires);
  const lifetime = Number.isFinite(seconds) && seconds > 0 ? seconds : LIFETIME_S;
  return { value, staleAt: asked + (lifetime - Math.min(MARGIN_S, lifetime / 5)) * 1000 };
}

function parsed(text: string): Record<string, unknown> {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : {};
  } catch (thrown) {
    // A page of a proxy, say: its status tells enough.
    if (thrown instanceof SyntaxError) return {};
    throw thrown;
  }
}

interface Answer {
  status: number;
  text: string;
}

function post(
  url: URL,
  headers: http.OutgoingHttpHeaders,
  body: string,
  ca: string | undefined,
  timeoutMs: number,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const unreachable = (why: string, cause?: unknown): void => {
      clearTimeout(timer);
      request.destroy();
      reject(
        new Failure('peer-unreachable', `The token endpoint at ${url.host} did not answer: ${why}`, {
          cause,
        }),
      );
    };
    const options = { method: 'POST', headers: { ...headers, 'content-length': Buffer.byteLength(body) } };
    const request =
      url.protocol === 'https:'
        ? https.request(url, { ...options, ...tlsOptions({ ca }) })
        : http.request(url, options);
    const timer = setTimeout(() => unreachable(`no answer within ${timeoutMs} ms`), timeoutMs);
    request.on('error', (error: NodeJS.ErrnoException) => unreachable(connectionFault(error), error));
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > MAX_ANSWER_BYTES) unreachable('its answer is too long');
        else chunks.push(chunk);
      });
      response.on('error', (error) => unreachable('the answer broke off', error));
      response.on('end', () => {
        clearTimeout(timer);
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') });
      });
    });
    request.end(body);
  });
}
