/**
 * Destinations as people write them: a PACS by DIMSE, an archive by STOW-RS, a folder, a group of these. The zod schemas here are what
 * PUT /api/destinations takes; routing-table.ts keeps them, forwarding opens what they name.
 */
import { isIP } from 'node:net';
import os from 'node:os';
import { z } from 'zod';
import { isLoopback } from '../config.ts';
import { dimseSettings } from './dimse-destination.ts';
import { invalid, sentences } from './faults.ts';
import { folderSettings } from './folder-destination.ts';
import { groupSettings } from './group-destination.ts';
import { HIDDEN, type MapSecrets, SEALED, type Secrets, secretsOf, withKept } from './secrets.ts';
import { keepsSecret, mapStowSecrets, stowFaults, stowSettings } from './stow-destination.ts';
import { tlsFaults } from './tls-settings.ts';

const destinationSchema = z.discriminatedUnion('kind', [
  dimseSettings,
  stowSettings,
  folderSettings,
  groupSettings,
]);

export type DestinationSettings = z.infer<typeof destinationSchema>;
/** Of one that is sent to itself. */
export type PeerSettings = Exclude<DestinationSettings, { kind: 'group' }>;

export interface Destination {
  readonly name: string;
  readonly settings: DestinationSettings;
}

export interface Peer {
  readonly name: string;
  readonly settings: PeerSettings;
}

/** JSON Schema (2020-12) of what PUT /api/destinations/NAME takes. */
export function destinationJsonSchema(): object {
  return z.toJSONSchema(destinationSchema, { io: 'input' });
}

/**
 * @param known the settings it has now, for secrets that are to stay
 * @throws Failure 'invalid' with every fault
 */
export function parseDestination(json: unknown, known?: DestinationSettings): DestinationSettings {
  const parsed = destinationSchema.safeParse(json);
  if (!parsed.success) throw invalid('The destination', sentences(parsed.error));
  // Who has a dump of the database could else have a credential of it opened, and sent to a host of their choice.
  const faults = [...secretsOf(mapSecrets, parsed.data)].flatMap(([path, value]) =>
    value.startsWith(SEALED) ? `${path}: expected the value itself, not a sealed one` : [],
  );
  const settings = withKept(
    mapSecrets,
    parsed.data,
    keepable(parsed.data, known),
    'there is no value to be kept; give it again (also when the host changes)',
    faults,
  );
  if (settings.kind === 'stow') faults.push(...stowFaults(settings));
  if (faults.length === 0 && 'tls' in settings && settings.tls) faults.push(...tlsFaults(settings.tls));
  if (faults.length > 0) throw invalid('The destination', faults);
  return settings;
}

function keepable(settings: DestinationSettings, known: DestinationSettings | undefined): Secrets {
  if (known?.kind !== settings.kind) return new Map();
  const secrets = [...secretsOf(mapSecrets, known)];
  if (known.kind !== 'stow' || settings.kind !== 'stow') return new Map(secrets);
  return new Map(secrets.filter(([path]) => keepsSecret(path, known, settings)));
}

export const mapSecrets: MapSecrets<DestinationSettings> = (settings, change) => {
  if (settings.kind === 'stow') return mapStowSecrets(settings, change);
  if (settings.kind !== 'dimse' || settings.tls?.key === undefined) return settings;
  return { ...settings, tls: { ...settings.tls, key: change('tls.key', settings.tls.key) } };
};

/** Where we listen ourselves. */
export interface OwnListener {
  aeTitle: string;
  host: string;
  ports: readonly number[];
  /** For DICOMweb. */
  http?: { host: string; port: number; publicUrl: string | undefined };
}

/** @throws Failure 'invalid' when it leads back to us: what we keep would be sent here for ever */
export function refuseOurselves(settings: DestinationSettings, own: OwnListener): void {
  if (settings.kind === 'stow' && own.http) refuseOwnUrl(settings.url, own.http);
  if (settings.kind !== 'dimse' || settings.aeTitle !== own.aeTitle || !own.ports.includes(settings.port))
    return;
  if (isOurs(settings.host, own.host))
    throw invalid('The destination', [
      `host: ${settings.aeTitle}@${settings.host}:${settings.port} is this archive itself (AE_TITLE, DICOM_HOST, DICOM_PORT)`,
    ]);
}

function refuseOwnUrl(text: string, { host, port, publicUrl }: NonNullable<OwnListener['http']>): void {
  const url = new URL(text);
  const to = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
  const isPublic = publicUrl !== undefined && new URL(publicUrl).origin === url.origin;
  const isListener = to === port && isOurs(url.hostname.replace(/^\[|\]$/g, ''), host);
  // Another server may stand behind the same proxy, under another path.
  const under = publicUrl === undefined ? '' : new URL(publicUrl).pathname.replace(/\/$/, '');
  if (isListener || (isPublic && url.pathname.startsWith(`${under}/dicom-web`)))
    throw invalid('The destination', [
      `url: ${text} is this archive itself (HTTP_HOST, HTTP_PORT, PUBLIC_URL)`,
    ]);
}

/** @param bound the address that a listener of ours is bound to */
function isOurs(name: string, bound: string): boolean {
  const host = name.toLowerCase();
  const everywhere = bound === '0.0.0.0' || bound === '::';
  const interfaces = Object.values(os.networkInterfaces()).flatMap((list) => list ?? []);
  return (
    host === bound ||
    ((everywhere || isLoopback(bound)) && isLoopback(host)) ||
    (everywhere &&
      (host === os.hostname().toLowerCase() || interfaces.some(({ address }) => address === host)))
  );
}

/** The settings as they may be shown. */
export function shownSettings(settings: DestinationSettings): DestinationSettings {
  return mapSecrets(settings, () => HIDDEN);
}

/** Who a destination is as a sender: what came from there is not sent there. */
export interface SenderIdentity {
  aeTitle: string | null;
  /** Of a STOW sender. Loopback is everybody's address, so it proves nothing; a host name may be many. */
  address: string | null;
}

export function senderIdentity(settings: PeerSettings): SenderIdentity {
  const address = settings.kind === 'stow' ? new URL(settings.url).hostname.replace(/^\[|\]$/g, '') : null;
  return {
    aeTitle: settings.aeTitle ?? null,
    address: address !== null && isIP(address) !== 0 && !isLoopback(address) ? address : null,
  };
}
