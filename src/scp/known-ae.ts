/**
 * A known AE as people write it: who may open an association, from where, with which certificate, how often at once.
 * The zod schema here is what PUT /api/aes takes; ae-table.ts keeps it, admission.ts decides by it.
 */
import { z } from 'zod';
import { isAddressRange, plainAddress } from '../dimse/address-range.ts';
import { invalid, sentences } from '../routing/faults.ts';
import { aeTitle } from '../routing/named-json.ts';

const nameInCertificate = z.string().min(1).max(253);
const certificate = z
  .strictObject({
    commonName: nameInCertificate.optional().describe('Subject common name, compared letter by letter'),
    subjectAltName: nameInCertificate
      .optional()
      .describe('A DNS name, IP address, URI or e-mail address among its subject alternative names'),
    fingerprint: z
      .string()
      .transform((text) => text.replace(/[:\s]/g, '').toUpperCase())
      .refine(
        (text) => /^[0-9A-F]{64}$/.test(text),
        'expected the SHA-256 fingerprint: 64 hexadecimal digits',
      )
      .optional()
      .describe('SHA-256 of the certificate; it then needs no authority of DICOM_TLS_CA'),
  })
  .refine(
    (rule) => Object.values(rule).some((value) => value !== undefined),
    'expected a commonName, a subjectAltName or a fingerprint',
  );

const knownAe = z
  .strictObject({
    aeTitle: aeTitle.describe('Its calling AE title'),
    addresses: z
      .array(
        z
          .string()
          .refine(isAddressRange, 'expected an IP address or a range such as 10.1.0.0/16')
          .transform(plainAddress),
      )
      .max(100)
      .default([])
      .describe('Where it calls from: IP addresses and CIDR ranges; none means anywhere'),
    tls: z.enum(['optional', 'required'], 'expected optional or required').default('optional'),
    certificate: certificate
      .optional()
      .describe('What its TLS client certificate must say; all that is named must fit'),
    maxAssociations: z
      .number()
      .int()
      .min(1)
      .max(1000)
      .optional()
      .describe('At once; MAX_ASSOCIATIONS_PER_AE when absent'),
    privateSopClasses: z
      .enum(['accept', 'refuse'], 'expected accept or refuse')
      .optional()
      .describe('PRIVATE_SOP_CLASSES when absent'),
    host: z
      .string()
      .regex(/^[A-Za-z0-9.:_-]{1,253}$/, 'expected a host name or an IP address')
      .optional()
      .describe('Where it listens itself, for our reports of storage commitment; with port'),
    port: z.number().int().min(1).max(65_535).optional(),
    hostTls: z
      .boolean()
      .optional()
      .describe(
        'Whether it speaks TLS there; as tls is required, when absent. Its certificate must be signed by DICOM_TLS_CA ' +
          '(a public authority without that) and name the host; we show DICOM_TLS_CERT',
      ),
    serverName: z
      .string()
      .regex(/^[A-Za-z0-9._-]{1,253}$/, 'expected a host name')
      .optional()
      .describe('The name its certificate has there, where that is not the host'),
    enabled: z.boolean().default(true).describe('While false it is not let in'),
    description: z.string().max(500).default(''),
  })
  .refine(({ tls, certificate: rule }) => tls === 'required' || rule === undefined, {
    path: ['tls'],
    message: 'expected required, since a certificate is asked for and the plain port shows none',
  })
  .refine(({ host, port }) => (host === undefined) === (port === undefined), {
    path: ['port'],
    message: 'expected host and port, or neither',
  })
  .refine(({ host, hostTls, serverName }) => host !== undefined || (!hostTls && serverName === undefined), {
    path: ['host'],
    message: 'expected with hostTls and serverName, which say how it listens there',
  });

export type KnownAeSettings = z.infer<typeof knownAe>;
export type CertificateRule = z.infer<typeof certificate>;

/** For the description of the API. */
export function knownAeJsonSchema(): object {
  return z.toJSONSchema(knownAe, { io: 'input' });
}

/** What the API says of one; unlike in what is put, nothing that has a default is left out. A test parses answers with it. */
export const shownAeSchema = z.strictObject({
  name: z.string(),
  aeTitle: z.string(),
  addresses: z.array(z.string()).describe('Where it calls from; none means anywhere'),
  tls: z.enum(['optional', 'required']),
  certificate: z
    .strictObject({
      commonName: z.string().optional(),
      subjectAltName: z.string().optional(),
      fingerprint: z.string().optional().describe('SHA-256: 64 hexadecimal digits'),
    })
    .optional(),
  maxAssociations: z.int().optional().describe('MAX_ASSOCIATIONS_PER_AE when absent'),
  privateSopClasses: z.enum(['accept', 'refuse']).optional().describe('PRIVATE_SOP_CLASSES when absent'),
  host: z.string().optional().describe('Where it listens itself, for our reports of storage commitment'),
  port: z.int().optional(),
  hostTls: z.boolean().optional().describe('As tls is required, when absent'),
  serverName: z.string().optional(),
  enabled: z.boolean(),
  description: z.string(),
  changedAt: z.iso.datetime(),
  changedBy: z.string().describe('User; anonymous where nobody logs in'),
  open: z.int().describe('Associations that this node has open with its AE title'),
});

export const KNOWN_AE_EXAMPLES = {
  scanner: {
    summary: 'A scanner that may send, from its address',
    value: { aeTitle: 'CT1', addresses: ['10.0.0.5', '10.1.0.0/16'], maxAssociations: 4 },
  },
  committed: {
    summary: 'It is called back with storage commitments',
    value: { aeTitle: 'CT1', addresses: ['10.0.0.5'], host: '10.0.0.5', port: 104 },
  },
  tls: {
    summary: 'Over TLS alone, with its own certificate',
    value: { aeTitle: 'CT1', tls: 'required', certificate: { commonName: 'ct1.radiology' } },
  },
};

export interface KnownAe extends KnownAeSettings {
  /** Under which it stands at /api/aes. */
  name: string;
}

/** @throws Failure 'invalid' with every fault */
export function parseKnownAe(json: unknown): KnownAeSettings {
  const parsed = knownAe.safeParse(json);
  if (!parsed.success) throw invalid('The known AE', sentences(parsed.error));
  return parsed.data;
}

/** One of KNOWN_AES, as if it had been put. */
export function bootstrapAe({
  aeTitle: title,
  address,
}: {
  aeTitle: string;
  address: string | undefined;
}): KnownAe {
  return {
    name: 'KNOWN_AES',
    aeTitle: title,
    addresses: address === undefined ? [] : [address],
    tls: 'optional',
    enabled: true,
    description: '',
  };
}
