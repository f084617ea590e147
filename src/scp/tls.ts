/**
 * DICOM over TLS after PS3.15 B.12 (BCP 195, RFC 8996 and RFC 9325): what the TLS listener is made with, what a
 * client's certificate says, and what a failed handshake is called. Used by listener.ts; the files are tls-files.ts'.
 */
import { constants } from 'node:crypto';
import type tls from 'node:tls';
import type { ClientCertificate } from './admission.ts';

/** PEM texts, as tls-files.ts read and checked them. */
export interface TlsMaterial {
  key: string;
  cert: string;
  ca: string | undefined;
  client: 'none' | 'accept' | 'require';
}

/** TLS 1.3 (RFC 8446 B.4), then what RFC 9325 4.2 names for TLS 1.2; ChaCha20 is of the same strength (RFC 9325 4.2.1). */
export const CIPHER_SUITES: readonly string[] = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
];

/** The part that can be exchanged while the listener is open. */
export function secureContextOptions({ key, cert, ca }: TlsMaterial): tls.SecureContextOptions {
  return {
    key,
    cert,
    // An empty list and not none: without it every public authority would vouch for a modality.
    ca: ca ?? [],
    minVersion: 'TLSv1.2',
    ciphers: CIPHER_SUITES.join(':'),
    honorCipherOrder: true,
    // No resumption: each connection proves its certificate anew, and threads share no ticket keys.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  };
}

export function serverOptions(material: TlsMaterial, handshakeMs: number): tls.TlsOptions {
  return {
    ...secureContextOptions(material),
    requestCert: material.client !== 'none',
    rejectUnauthorized: material.client === 'require',
    handshakeTimeout: handshakeMs,
  };
}

/** What the client showed; undefined when it showed nothing. */
export function clientCertificate(socket: tls.TLSSocket): ClientCertificate | undefined {
  const shown = socket.getPeerX509Certificate();
  if (!shown) return undefined;
  // One attribute a line, special characters behind a backslash (RFC 4514 2.4).
  const commonName = (/^CN=(.*)$/m.exec(shown.subject)?.[1] ?? '').replace(/\\([^0-9A-Fa-f])/g, '$1');
  return {
    verified: socket.authorized,
    commonName,
    subjectAltNames: alternativeNames(shown.subjectAltName),
    fingerprint: shown.fingerprint256.replaceAll(':', ''),
  };
}

/** "DNS:ct1.example, IP Address:10.0.0.5"; one that holds a comma is quoted as JSON (CVE-2021-44532). */
function alternativeNames(text: string | undefined): string[] {
  return [...(text ?? '').matchAll(/(?:^|, )[A-Za-z ]+:("(?:[^"\\]|\\.)*"|[^,"]*)/g)].map(([, name = '']) => {
    if (!name.startsWith('"')) return name;
    const quoted: unknown = JSON.parse(name);
    return typeof quoted === 'string' ? quoted : '';
  });
}

const HANDSHAKE_WORDS: Readonly<Record<string, string>> = {
  ERR_SSL_WRONG_VERSION_NUMBER: 'what came is no TLS (plain DICOM goes to DICOM_PORT)',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'what came is no TLS (plain DICOM goes to DICOM_PORT)',
  ERR_SSL_HTTP_REQUEST: 'what came is HTTP',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'it offers no TLS 1.2 or 1.3',
  ERR_SSL_NO_SHARED_CIPHER: 'it offers none of the cipher suites of PS3.15 B.12',
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: 'it showed no client certificate (DICOM_TLS_CLIENT is require)',
  ERR_TLS_HANDSHAKE_TIMEOUT: 'it took longer than DICOM_ARTIM_S',
};

/** @returns why, in words, and as a label; undefined when the peer went away without a word */
export function handshakeFault(
  error: NodeJS.ErrnoException,
  authorizationError: Error | string | undefined | null,
): { code: 'certificate' | 'protocol'; reason: string } | undefined {
  const code = error.code ?? '';
  if (authorizationError)
    return {
      code: 'certificate',
      reason: `the TLS handshake failed: its client certificate does not verify against DICOM_TLS_CA (${typeof authorizationError === 'string' ? authorizationError : authorizationError.message})`,
    };
  if (code === 'ECONNRESET' || code === 'EPIPE') return undefined;
  const isCertificate = code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE';
  const words =
    HANDSHAKE_WORDS[code] ?? `${(error as { reason?: string }).reason ?? (code || 'no reason was given')}`;
  return { code: isCertificate ? 'certificate' : 'protocol', reason: `the TLS handshake failed: ${words}` };
}
