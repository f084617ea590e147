/** A destination by STOW-RS (PS3.18 10.5), as people write it: the schema, and where its secrets lie. For destination.ts. */
import { z } from 'zod';
import { isLoopback } from '../config.ts';
import { aeTitle } from './named-json.ts';
import { HIDDEN, type MapSecrets } from './secrets.ts';
import { answerSettings, sendingSettings } from './sending-settings.ts';
import { tlsSettings } from './tls-settings.ts';

const headerName = z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/, 'expected an HTTP header name');
const headerValue = z.string().regex(/^[\x20-\x7e]{0,4000}$/, 'expected printable ASCII');
/** What the client writes itself. */
const OWN_HEADERS = new Set([
  'content-type',
  'content-length',
  'transfer-encoding',
  'host',
  'connection',
  'accept',
  'expect',
]);

const isBareRoot = (url: URL): boolean =>
  url.username === '' && url.password === '' && url.search === '' && url.hash === '';

function withoutSlashes(text: string): string {
  let end = text.length;
  while (text[end - 1] === '/') end--;
  return text.slice(0, end);
}

/** A client's secret goes in the clear to nobody but this machine. */
const isSafeForSecrets = (url: URL): boolean => url.protocol === 'https:' || isLoopback(url.hostname);

const oauth = z
  .strictObject({
    tokenUrl: z
      .url({ protocol: /^https?$/, error: 'expected the URL of the token endpoint' })
      .refine(
        (text) => !URL.canParse(text) || isSafeForSecrets(new URL(text)),
        'expected https: the client secret goes there',
      ),
    clientId: z.string().min(1).max(500),
    clientSecret: z.string().min(1).max(4000).describe(`It is shown as "${HIDDEN}"`),
    scope: z.string().max(2000).optional(),
    audience: z.string().max(2000).optional().describe('Where the authorization server asks for one'),
    clientAuth: z
      .enum(['basic', 'post'])
      .default('basic')
      .describe('How the client names itself: HTTP Basic, or in the body (RFC 6749 2.3.1)'),
  })
  .describe('OAuth 2 client credentials (RFC 6749 4.4)');

export type OAuthSettings = z.infer<typeof oauth>;

export const stowSettings = z.strictObject({
  kind: z.literal('stow'),
  url: z
    .url({
      protocol: /^https?$/,
      error: 'expected an http or https URL of the DICOMweb root, without /studies',
    })
    .refine(
      (text) => !URL.canParse(text) || isBareRoot(new URL(text)),
      'expected a URL without user, query and fragment; credentials go into headers',
    )
    .transform(withoutSlashes)
    // Every answer would be 404, and everything that is owed be parked.
    .refine((text) => !text.endsWith('/studies'), 'expected the DICOMweb root: without /studies at its end'),
  headers: z
    .record(headerName, headerValue)
    .refine(
      (headers) => Object.keys(headers).every((name) => !OWN_HEADERS.has(name.toLowerCase())),
      `these are written by the client itself: ${[...OWN_HEADERS].join(', ')}`,
    )
    .default({})
    .describe(
      `Such as Authorization. Values are shown as "${HIDDEN}", and "${HIDDEN}" leaves a value as it is`,
    ),
  oauth: oauth.optional(),
  tls: tlsSettings.optional(),
  aeTitle: aeTitle
    .optional()
    .describe('The AE title under which this system sends to us, if it does: never sent back'),
  ...answerSettings,
  ...sendingSettings,
});

export type StowSettings = z.infer<typeof stowSettings>;

/** What the schema cannot say of one field. */
export function stowFaults({ url, headers, oauth: credentials, tls }: StowSettings): string[] {
  const faults: string[] = [];
  if (credentials && Object.keys(headers).some((name) => name.toLowerCase() === 'authorization'))
    faults.push('oauth: the Authorization header comes from the token; take it out of headers');
  if (credentials && !isSafeForSecrets(new URL(url)))
    faults.push('oauth: the token would go in the clear; give an https URL');
  if (tls && !url.startsWith('https:')) faults.push('tls: the URL is http; TLS needs https');
  return faults;
}

export const mapStowSecrets: MapSecrets<StowSettings> = (settings, change) => ({
  ...settings,
  headers: Object.fromEntries(
    Object.entries(settings.headers).map(([name, value]) => [name, change(`headers.${name}`, value)]),
  ),
  ...(settings.oauth && {
    oauth: { ...settings.oauth, clientSecret: change('oauth.clientSecret', settings.oauth.clientSecret) },
  }),
  ...(settings.tls?.key !== undefined && {
    tls: { ...settings.tls, key: change('tls.key', settings.tls.key) },
  }),
});

/** Secrets that may stay when the settings change: a new host gets none that was given for another. */
export function keepsSecret(path: string, before: StowSettings, now: StowSettings): boolean {
  const origin = (url: string | undefined): string | undefined => url && new URL(url).origin;
  if (path.startsWith('headers.')) return origin(before.url) === origin(now.url);
  // What it buys goes to the server: a token of one is not sent to another either.
  if (path === 'oauth.clientSecret')
    return (
      origin(before.url) === origin(now.url) && origin(before.oauth?.tokenUrl) === origin(now.oauth?.tokenUrl)
    );
  return true;
}
