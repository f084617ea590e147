/**
 * Destinations as people write them: a PACS by DIMSE, an archive by STOW-RS. The zod schemas here are what
 * PUT /api/destinations takes; routing-table.ts keeps them, forwarding opens what they name.
 */
import { isIP } from 'node:net';
import os from 'node:os';
import { z } from 'zod';
import { isLoopback } from '../config.ts';
import { retrySchema } from './backoff.ts';
import { invalid, sentences } from './faults.ts';
import { aeTitle } from './named-json.ts';

const associations = z
  .number()
  .int()
  .min(1)
  .max(8)
  .default(1)
  .describe('Deliveries sent to it at the same time');
const hostName = z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/, 'expected a host name or an IP address');
const portNumber = z.number().int().min(1).max(65535);
const enabled = z.boolean().default(true).describe('While false, what is owed waits');

const common = {
  maxAssociations: associations,
  retry: retrySchema.optional().describe('How often and for how long is tried again'),
  enabled,
};
const commitment = z
  .strictObject({
    enabled: z.boolean().default(true),
    aeTitle: aeTitle
      .optional()
      .describe('Of the system that commits, when it is another than the one sent to'),
    host: hostName.optional(),
    port: portNumber.optional(),
    waitS: z
      .number()
      .int()
      .min(1)
      .max(604_800)
      .default(600)
      .describe('Seconds for its report (N-EVENT-REPORT), before it is asked again'),
    tries: z.number().int().min(1).max(20).default(3).describe('Requests for an instance, at most'),
  })
  .describe(
    'Storage commitment (PS3.4 Annex J): a delivery is done when the peer has committed to each instance',
  );

const dimse = z.strictObject({
  kind: z.literal('dimse'),
  host: hostName,
  port: portNumber,
  aeTitle: aeTitle.describe('Its AE title. What came from this AE title is never sent to it'),
  callingAeTitle: aeTitle.optional().describe('Our AE title towards it; AE_TITLE when absent'),
  commitment: commitment.optional().describe('Off when absent'),
  ...common,
});

const HIDDEN = '(kept)';
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

const stow = z.strictObject({
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
    .transform(withoutSlashes),
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
  aeTitle: aeTitle
    .optional()
    .describe('The AE title under which this system sends to us, if it does: never sent back'),
  ...common,
});

const destinationSchema = z.discriminatedUnion('kind', [dimse, stow]);

export type DestinationSettings = z.infer<typeof destinationSchema>;
export type DimseSettings = z.infer<typeof dimse>;
export type StowSettings = z.infer<typeof stow>;
export type CommitmentSettings = z.infer<typeof commitment>;

export interface Destination {
  readonly name: string;
  readonly settings: DestinationSettings;
}

/**
 * @param known the settings it has now, for header values that are to stay
 * @throws Failure 'invalid' with every fault
 */
export function parseDestination(json: unknown, known?: DestinationSettings): DestinationSettings {
  const parsed = destinationSchema.safeParse(json);
  if (!parsed.success) throw invalid('The destination', sentences(parsed.error));
  const settings = parsed.data;
  if (settings.kind !== 'stow') return settings;
  const before = known?.kind === 'stow' ? known.headers : {};
  const faults: string[] = [];
  const headers = Object.fromEntries(
    Object.entries(settings.headers).map(([name, value]) => {
      if (value !== HIDDEN) return [name, value];
      const kept = before[name];
      if (kept === undefined) faults.push(`headers.${name}: there is no value to be kept`);
      return [name, kept ?? ''];
    }),
  );
  if (faults.length > 0) throw invalid('The destination', faults);
  return { ...settings, headers };
}

/** Where we listen ourselves. */
export interface OwnListener {
  aeTitle: string;
  host: string;
  ports: readonly number[];
}

/** @throws Failure 'invalid' when it leads back to us: what we keep would be sent here for ever */
export function refuseOurselves(settings: DestinationSettings, own: OwnListener): void {
  if (settings.kind !== 'dimse' || settings.aeTitle !== own.aeTitle || !own.ports.includes(settings.port))
    return;
  const host = settings.host.toLowerCase();
  const everywhere = own.host === '0.0.0.0' || own.host === '::';
  const interfaces = Object.values(os.networkInterfaces()).flatMap((list) => list ?? []);
  const ours =
    host === own.host ||
    ((everywhere || isLoopback(own.host)) && isLoopback(host)) ||
    (everywhere &&
      (host === own.host ||
        host === os.hostname().toLowerCase() ||
        interfaces.some(({ address }) => address === host)));
  if (ours)
    throw invalid('The destination', [
      `host: ${settings.aeTitle}@${settings.host}:${settings.port} is this archive itself (AE_TITLE, DICOM_HOST, DICOM_PORT)`,
    ]);
}

/** The settings as they may be shown: header values are credentials. */
export function shownSettings(settings: DestinationSettings): DestinationSettings {
  if (settings.kind !== 'stow') return settings;
  return {
    ...settings,
    headers: Object.fromEntries(Object.keys(settings.headers).map((name) => [name, HIDDEN])),
  };
}

/** Who a destination is as a sender: what came from there is not sent there. */
export interface SenderIdentity {
  aeTitle: string | null;
  /** Of a STOW sender. Loopback is everybody's address, so it proves nothing; a host name may be many. */
  address: string | null;
}

export function senderIdentity(settings: DestinationSettings): SenderIdentity {
  const address = settings.kind === 'stow' ? new URL(settings.url).hostname.replace(/^\[|\]$/g, '') : null;
  return {
    aeTitle: settings.aeTitle ?? null,
    address: address !== null && isIP(address) !== 0 && !isLoopback(address) ? address : null,
  };
}
