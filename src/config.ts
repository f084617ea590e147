/**
 * The environment, parsed once at start into a frozen Config. Every fault is said at once.
 * Called by main.ts and cli.ts only; rooms get the values they need, never process.env.
 * The table in README.md lists the same names (a test holds the two together).
 */
import { isIP } from 'node:net';
import path from 'node:path';
import { z } from 'zod';
import { Failure } from './failure.ts';

const flag = z
  .enum(['0', '1', 'true', 'false', ''], '1 or 0')
  .default('0')
  .transform((text) => text === '1' || text === 'true');
const whole = (least: number, most: number) =>
  z.coerce
    .number(`a whole number from ${least} to ${most}`)
    .int(`a whole number from ${least} to ${most}`)
    .min(least, `a whole number from ${least} to ${most}`)
    .max(most, `a whole number from ${least} to ${most}`);
const port = whole(0, 65_535);
/** A port that may be closed. */
const portOrOff = z
  .string()
  .refine(
    (text) => text === 'off' || (/^\d{1,5}$/.test(text) && Number(text) <= 65_535),
    'off, or a whole number from 0 to 65535',
  )
  .transform((text) => (text === 'off' ? 'off' : Number(text)));
const seconds = z.coerce
  .number('seconds, from 0 to 86400')
  .min(0, 'seconds, from 0 to 86400')
  .max(86_400, 'seconds, from 0 to 86400');
const secondsFrom1 = z.coerce
  .number('seconds, from 1 to 86400')
  .min(1, 'seconds, from 1 to 86400')
  .max(86_400, 'seconds, from 1 to 86400');
/** One of a few words. */
const oneOf = <const Words extends readonly [string, ...string[]]>(...words: Words) =>
  z.enum(words, `one of ${words.join(', ')}`);
const bytes = z
  .string()
  .regex(/^\d+(\.\d+)?\s*(B|KB|MB|GB|TB)?$/i, 'a size such as 512MB or 4GB')
  .transform((text) => {
    const [, number = '0', , unit = 'B'] = /^(\d+(\.\d+)?)\s*([A-Z]*)$/i.exec(text.trim()) ?? [];
    const power = ['B', 'KB', 'MB', 'GB', 'TB'].indexOf((unit || 'B').toUpperCase());
    return Math.round(Number(number) * 1024 ** power);
  });
const bytesFrom = (least: number, most: number) =>
  bytes.refine((given) => given >= least && given <= most, `a size from ${least} to ${most} bytes`);
const aeTitle = z
  .string()
  .regex(/^[ -[\]-~]{1,16}$/, 'an AE title: 1 to 16 printable characters, no backslash')
  .transform((text) => text.trim());
const url = z.url({ protocol: /^https?$/, error: 'an http or https URL' });
/** Says in KNOWN_AES that the list is kept there, so that a listener beyond loopback may start before anybody is named. */
const LIST_AT_API = '/api/aes';
/** `AE` or `AE@ADDRESS`, separated by commas. */
const knownAes = z
  .string()
  .default('')
  .transform((text, context) => {
    const entries = text
      .split(',')
      .map((entry) => entry.trim())
      .filter(Boolean);
    const aes = entries
      .filter((entry) => entry !== LIST_AT_API)
      .map((entry) => {
        const at = entry.lastIndexOf('@');
        const title = aeTitle.safeParse(at < 0 ? entry : entry.slice(0, at));
        const address = at < 0 ? undefined : entry.slice(at + 1);
        // Compared with the caller's IP address: a host name would never be met, and nobody would see why.
        if (!title.success || title.data === '' || (address !== undefined && isIP(address) === 0))
          context.addIssue({
            code: 'custom',
            message: `"${entry}" is not AE or AE@IP-ADDRESS (such as CT1@10.0.0.5)`,
          });
        return { aeTitle: title.data ?? '', address };
      });
    return { aes, anybody: entries.length === 0 };
  });

const environment = z.object({
  ISOCENTER_DATA: z.string().min(1).default('storage/data'),
  HTTP_HOST: z.string().min(1).default('127.0.0.1'),
  HTTP_PORT: port.default(8080),
  DICOM_HOST: z.string().min(1).default('127.0.0.1'),
  DICOM_PORT: portOrOff.default(11112),
  AE_TITLE: aeTitle.default('ISOCENTER'),
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/, error: 'a postgres:// URL' }).optional(),
  S3_ENDPOINT: url.optional(),
  S3_BUCKET: z.string().min(3).default('isocenter'),
  S3_ACCESS_KEY: z.string().optional(),
  S3_SECRET_KEY: z.string().optional(),
  S3_REGION: z.string().default('us-east-1'),
  S3_UPLOADS: whole(1, 32).default(8),
  REDIS_URL: z.url({ protocol: /^rediss?$/, error: 'a redis:// URL' }).optional(),
  FOLDER_ROOT: z.string().min(1).optional(),
  DEIDENTIFY_KEY: z
    .string()
    // Of a file it is often read with its last line's end, which another process may not have.
    .trim()
    .min(32, 'at least 32 characters, such as `openssl rand -hex 32` gives')
    .refine((key) => new Set(key).size >= 8, 'characters at random, such as `openssl rand -hex 32` gives')
    .optional(),
  SECRETS_KEY: z.string().min(32, 'at least 32 characters, such as `openssl rand -hex 32` gives').optional(),
  STABLE_AGE_S: seconds.default(60),
  ACK_AFTER: oneOf('journal', 'store').default('journal'),
  ACK_LIMIT_S: seconds.default(30),
  CONFLICT_POLICY: oneOf('keep-first', 'replace', 'refuse').default('keep-first'),
  ALLOW_DELETE: flag,
  ISOCENTER_OPEN: flag,
  DICOM_PROMISCUOUS: flag,
  KNOWN_AES: knownAes,
  PRIVATE_SOP_CLASSES: oneOf('accept', 'refuse').default('accept'),
  DICOM_TLS_PORT: portOrOff.default('off'),
  DICOM_TLS_KEY: z.string().optional(),
  DICOM_TLS_CERT: z.string().optional(),
  DICOM_TLS_CA: z.string().optional(),
  DICOM_TLS_CLIENT: oneOf('none', 'accept', 'require').optional(),
  ALLOWED_HOSTS: z
    .string()
    .default('')
    .transform((text) =>
      text
        .split(',')
        .map((host) => host.trim().toLowerCase())
        .filter(Boolean),
    ),
  FHIR_BASE_URL: url.optional(),
  FHIR_TOKEN: z.string().optional(),
  FHIR_PATIENT_SYSTEM: z.url().optional(),
  PUBLIC_URL: url.optional(),
  JOURNAL_LIMIT: bytes.default(4 * 1024 ** 3),
  DISK_RESERVE: bytes.default(1024 ** 3),
  RECEIVERS: whole(1, 16).default(2),
  MAX_ASSOCIATIONS: whole(1, 1000).default(64),
  MAX_ASSOCIATIONS_PER_AE: whole(1, 1000).default(32),
  DICOM_MAX_WAITING: whole(1, 10_000).default(128),
  DICOM_MAX_PDU: bytesFrom(4096, 256 * 1024).default(128 * 1024),
  DICOM_MAX_REQUEST: bytesFrom(4096, 1024 ** 2).default(256 * 1024),
  DICOM_ARTIM_S: secondsFrom1.default(30),
  DICOM_IDLE_S: secondsFrom1.default(60),
  DRAIN_S: seconds.default(20),
  LOG_LEVEL: oneOf('fatal', 'error', 'warn', 'info', 'debug', 'silent').default('info'),
});

/** Each receiver, and STOW, keeps up to two journal segments open between objects (archive/intake/journal.ts). */
const LEAST_JOURNAL_BYTES = 64 * 1024 ** 2;

/** Every name the program reads from the environment. */
export const CONFIG_NAMES: readonly string[] = Object.keys(environment.shape);

/** DICOM over TLS (PS3.15 B.12): paths of PEM files, read and checked when the listener starts. */
export interface DicomTlsConfig {
  readonly port: number;
  readonly key: string;
  readonly cert: string;
  readonly ca: string | undefined;
  readonly client: 'none' | 'accept' | 'require';
}

export interface DicomLimits {
  readonly maxAssociations: number;
  readonly maxAssociationsPerAe: number;
  /** Connections without an association, of all receivers together. */
  readonly maxWaiting: number;
  /** Announced as Maximum Length Received (PS3.8 D.1), bytes; a PDV never exceeds its PDU. */
  readonly maxPduLength: number;
  /** Of an A-ASSOCIATE-RQ, bytes. */
  readonly maxRequestLength: number;
  /** How long a connection may take to send its A-ASSOCIATE-RQ, and its TLS handshake before. */
  readonly artimS: number;
  readonly idleS: number;
}

export interface Config {
  readonly dataFolder: string;
  readonly http: { readonly host: string; readonly port: number; readonly open: boolean };
  readonly allowedHosts: readonly string[];
  readonly dicom: {
    readonly host: string;
    /** Of the plain port; undefined when it is closed. */
    readonly port: number | undefined;
    readonly tls: DicomTlsConfig | undefined;
    readonly aeTitle: string;
    readonly promiscuous: boolean;
    /** While no AE is known any may call: nobody but this machine can reach the listener, and KNOWN_AES is not set. */
    readonly mayBeOpen: boolean;
    readonly knownAes: readonly { aeTitle: string; address: string | undefined }[];
    readonly privateSopClasses: 'accept' | 'refuse';
    readonly receivers: number;
    readonly limits: DicomLimits;
  };
  readonly databaseUrl: string | undefined;
  readonly s3:
    | {
        readonly endpoint: string;
        readonly bucket: string;
        readonly accessKey: string;
        readonly secretKey: string;
        readonly region: string;
        /** At once. */
        readonly uploads: number;
      }
    | undefined;
  readonly redisUrl: string | undefined;
  /** Below it lie the folders that are destinations; undefined where there are none. */
  readonly folderRoot: string | undefined;
  /** Secret: the pseudonyms of de-identified patients are made from it. */
  readonly deidentifyKey: string | undefined;
  /** Credentials of destinations are sealed with it. */
  readonly secretsKey: string | undefined;
  readonly stableAgeS: number;
  readonly ackAfter: 'journal' | 'store';
  /** With ackAfter store: how long an object may wait for it. */
  readonly ackLimitS: number;
  /** What becomes of other content under a SOP Instance UID that is stored. */
  readonly conflictPolicy: 'keep-first' | 'replace' | 'refuse';
  /** Whether DICOMweb may delete. */
  readonly allowDelete: boolean;
  readonly fhir:
    | {
        readonly baseUrl: string;
        readonly token: string | undefined;
        readonly patientSystem: string | undefined;
      }
    | undefined;
  /** Where viewers and the EHR reach us; no trailing slash. */
  readonly publicUrl: string | undefined;
  readonly journal: { readonly limitBytes: number; readonly reserveBytes: number };
  readonly drainS: number;
  readonly logLevel: string;
}

/** Loopback as promise 10 means it: the program is reachable from this machine alone. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

const trimSlash = (text: string | undefined): string | undefined => text?.replace(/\/+$/, '');

/**
 * @param env  usually process.env; an empty string counts as not set
 * @param root what a relative ISOCENTER_DATA is relative to
 * @throws Failure 'invalid' that lists every fault, one line each
 */
export function parseConfig(env: Record<string, string | undefined>, root: string): Config {
  const given = Object.fromEntries(
    CONFIG_NAMES.map((name) => [name, env[name]]).filter(
      ([, value]) => value !== undefined && value.trim() !== '',
    ),
  );
  const parsed = environment.safeParse(given);
  const issues = parsed.error?.issues ?? [];
  const faulty = new Set(issues.map((issue) => String(issue.path[0])));
  const faults = issues.map((issue) => {
    const name = String(issue.path[0]);
    const shown = /SECRET|TOKEN|KEY|URL|ENDPOINT/.test(name) ? '' : ` (it is "${given[name]}")`;
    return `${name}${shown}: ${issue.message}`;
  });
  // The rules between settings are held to those that can be read, so that every fault is said at once.
  const e = environment.parse(
    Object.fromEntries(Object.entries(given).filter(([name]) => !faulty.has(name))),
  );
  faults.push(...rules(e, faulty));
  if (faults.length > 0) {
    const number = faults.length === 1 ? 'one fault' : `${faults.length} faults`;
    throw new Failure('invalid', `The configuration has ${number}:\n  ${faults.join('\n  ')}`);
  }

  return deepFreeze({
    dataFolder: path.resolve(root, e.ISOCENTER_DATA),
    http: { host: e.HTTP_HOST, port: e.HTTP_PORT, open: e.ISOCENTER_OPEN },
    allowedHosts: e.ALLOWED_HOSTS,
    dicom: {
      host: e.DICOM_HOST,
      port: e.DICOM_PORT === 'off' ? undefined : e.DICOM_PORT,
      tls: tlsConfig(e, root),
      aeTitle: e.AE_TITLE,
      promiscuous: e.DICOM_PROMISCUOUS,
      knownAes: e.KNOWN_AES.aes,
      mayBeOpen: e.KNOWN_AES.anybody && isLoopback(e.DICOM_HOST),
      privateSopClasses: e.PRIVATE_SOP_CLASSES,
      receivers: e.RECEIVERS,
      limits: {
        maxAssociations: e.MAX_ASSOCIATIONS,
        maxAssociationsPerAe: e.MAX_ASSOCIATIONS_PER_AE,
        maxWaiting: e.DICOM_MAX_WAITING,
        maxPduLength: e.DICOM_MAX_PDU,
        maxRequestLength: e.DICOM_MAX_REQUEST,
        artimS: e.DICOM_ARTIM_S,
        idleS: e.DICOM_IDLE_S,
      },
    },
    databaseUrl: e.DATABASE_URL,
    s3: e.S3_ENDPOINT
      ? {
          endpoint: e.S3_ENDPOINT,
          bucket: e.S3_BUCKET,
          accessKey: e.S3_ACCESS_KEY ?? '',
          secretKey: e.S3_SECRET_KEY ?? '',
          region: e.S3_REGION,
          uploads: e.S3_UPLOADS,
        }
      : undefined,
    redisUrl: e.REDIS_URL,
    deidentifyKey: e.DEIDENTIFY_KEY,
    secretsKey: e.SECRETS_KEY,
    folderRoot: e.FOLDER_ROOT === undefined ? undefined : path.resolve(root, e.FOLDER_ROOT),
    stableAgeS: e.STABLE_AGE_S,
    ackAfter: e.ACK_AFTER,
    ackLimitS: e.ACK_LIMIT_S,
    conflictPolicy: e.CONFLICT_POLICY,
    allowDelete: e.ALLOW_DELETE,
    fhir: e.FHIR_BASE_URL
      ? {
          baseUrl: trimSlash(e.FHIR_BASE_URL) ?? '',
          token: e.FHIR_TOKEN,
          patientSystem: e.FHIR_PATIENT_SYSTEM,
        }
      : undefined,
    publicUrl: trimSlash(e.PUBLIC_URL),
    journal: { limitBytes: e.JOURNAL_LIMIT, reserveBytes: e.DISK_RESERVE },
    drainS: e.DRAIN_S,
    logLevel: e.LOG_LEVEL,
  });
}

function tlsConfig(e: z.infer<typeof environment>, root: string): DicomTlsConfig | undefined {
  const { DICOM_TLS_PORT: port, DICOM_TLS_KEY: key, DICOM_TLS_CERT: cert, DICOM_TLS_CA: ca } = e;
  if (port === 'off' || key === undefined || cert === undefined) return undefined;
  return {
    port,
    key: path.resolve(root, key),
    cert: path.resolve(root, cert),
    ca: ca === undefined ? undefined : path.resolve(root, ca),
    client: e.DICOM_TLS_CLIENT ?? (ca === undefined ? 'none' : 'require'),
  };
}

/** What settings demand of each other; those in `faulty` have been complained of and hold their defaults. */
function rules(e: z.infer<typeof environment>, faulty: ReadonlySet<string>): string[] {
  const sound = (...names: string[]): boolean => !names.some((name) => faulty.has(name));
  const faults: string[] = [];
  if (e.S3_ENDPOINT && !(e.S3_ACCESS_KEY && e.S3_SECRET_KEY))
    faults.push('S3_ENDPOINT is set, so S3_ACCESS_KEY and S3_SECRET_KEY must be set too');
  if (!isLoopback(e.HTTP_HOST) && !e.ISOCENTER_OPEN && sound('ISOCENTER_OPEN'))
    faults.push(
      `HTTP_HOST is ${e.HTTP_HOST}, which other machines can reach, and this version has no login of its own: ` +
        'keep 127.0.0.1 behind a proxy that authenticates, or set ISOCENTER_OPEN=1 to say that everyone who reaches it may read it',
    );
  const anyCaller = !e.DICOM_PROMISCUOUS && e.KNOWN_AES.anybody;
  if (!isLoopback(e.DICOM_HOST) && anyCaller && sound('DICOM_PROMISCUOUS', 'KNOWN_AES'))
    faults.push(
      `DICOM_HOST is ${e.DICOM_HOST}, which other machines can reach: name the modalities in KNOWN_AES ` +
        `(such as CT1@10.0.0.5,MR1), or set KNOWN_AES=${LIST_AT_API} and name them there, ` +
        'or set DICOM_PROMISCUOUS=1 to accept any calling AE title',
    );
  if (e.DICOM_TLS_PORT !== 'off' && !(e.DICOM_TLS_KEY && e.DICOM_TLS_CERT))
    faults.push('DICOM_TLS_PORT is set, so DICOM_TLS_KEY and DICOM_TLS_CERT must name PEM files');
  if (e.DICOM_TLS_PORT !== 'off' && e.DICOM_TLS_PORT !== 0 && e.DICOM_TLS_PORT === e.DICOM_PORT)
    faults.push(`DICOM_TLS_PORT and DICOM_PORT are both ${e.DICOM_PORT}: plain and TLS need a port each`);
  if (e.DICOM_TLS_CLIENT === 'require' && !e.DICOM_TLS_CA && sound('DICOM_TLS_CA'))
    faults.push(
      'DICOM_TLS_CLIENT is require, so DICOM_TLS_CA must name the authorities that sign client certificates',
    );
  if (e.DICOM_PORT === 'off' && e.DICOM_TLS_PORT === 'off' && sound('DICOM_PORT', 'DICOM_TLS_PORT'))
    faults.push('DICOM_PORT is off, so DICOM_TLS_PORT must be set (2762 is the registered port)');
  const least = LEAST_JOURNAL_BYTES * (e.RECEIVERS + 1);
  if (e.JOURNAL_LIMIT < least && sound('JOURNAL_LIMIT', 'RECEIVERS'))
    faults.push(
      `JOURNAL_LIMIT is ${e.JOURNAL_LIMIT} bytes: with ${e.RECEIVERS} RECEIVERS it must be at least ${least / 1024 ** 2}MB`,
    );
  return faults;
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value))
    if (inner && typeof inner === 'object') deepFreeze(inner as object);
  return Object.freeze(value);
}
