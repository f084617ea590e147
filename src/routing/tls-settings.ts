/**
 * TLS towards a destination, as people write it: whom we believe, and who we are. PEM texts, because the settings live in
 * the database. Never unverified: there is no setting for that.
 * A schema of destination.ts; forwarding makes its connections with what tlsOptions returns.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type tls from 'node:tls';
import { z } from 'zod';
import { asFailure } from '../failure.ts';
import { HIDDEN } from './secrets.ts';

const pem = z.string().max(200_000);

export const tlsSettings = z
  .strictObject({
    ca: pem
      .optional()
      .describe('PEM: the authorities that sign its certificate; the public ones when absent'),
    cert: pem.optional().describe('PEM: our certificate with its chain, where it asks for one'),
    key: pem.optional().describe(`PEM: its private key. It is shown as "${HIDDEN}"`),
    serverName: z
      .string()
      .regex(/^[A-Za-z0-9._-]{1,253}$/, 'expected a host name')
      .optional()
      .describe('The name its certificate has, where that is not the host'),
  })
  .describe('DICOM over TLS (PS3.15 B.12), or HTTPS');

export type TlsSettings = z.infer<typeof tlsSettings>;

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** What is wrong with the texts, once the key is there; never with a word of the key. */
export function tlsFaults({ ca, cert, key }: TlsSettings): string[] {
  const faults: string[] = [];
  if (ca !== undefined) certificates('tls.ca', ca, faults);
  const [own] = cert === undefined ? [] : certificates('tls.cert', cert, faults);
  if ((cert === undefined) !== (key === undefined))
    faults.push('tls: cert and key come together: our certificate and its private key');
  if (key === undefined) return faults;
  try {
    const privateKey = createPrivateKey(key);
    if (own && !own.checkPrivateKey(privateKey))
      faults.push('tls.key is not the key of the first certificate in tls.cert');
  } catch {
    // OpenSSL's words are of no use to whoever pasted the wrong text.
    faults.push('tls.key is no private key in PEM without a password');
  }
  return faults;
}

function certificates(setting: string, text: string, faults: string[]): X509Certificate[] {
  try {
    const found = [...text.matchAll(PEM_CERTIFICATE)].map(([one]) => new X509Certificate(one));
    if (found.length === 0) faults.push(`${setting} holds no certificate in PEM`);
    return found;
  } catch (thrown) {
    faults.push(`${setting} holds a certificate that cannot be read (${asFailure(thrown).message})`);
    return [];
  }
}

/** For node:tls and node:https: TLS 1.2 or 1.3, the certificate and its name always checked. */
export function tlsOptions({ ca, cert, key, serverName }: TlsSettings): tls.ConnectionOptions {
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(serverName !== undefined && { servername: serverName }),
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
  };
}
