/**
 * Why a connection could not be made, in words a PACS administrator can act on, with the system's code behind them.
 * Said by outbound-association.ts and requestor.ts, and by forwarding's STOW client and its tokens.
 */

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens on that port',
  ECONNRESET: 'the connection was cut',
  EHOSTUNREACH: 'there is no way to that address',
  ENETUNREACH: 'there is no way to that network',
  ENOTFOUND: 'no address is known for that name',
  EAI_AGAIN: 'the name server does not answer',
  ETIMEDOUT: 'no answer came',
};

/** What node:tls and OpenSSL say of a certificate or of a handshake, ours or the peer's. */
const TLS_WORDS: Readonly<Record<string, string>> = {
  ERR_TLS_CERT_ALTNAME_INVALID: 'its TLS certificate is for another name',
  CERT_HAS_EXPIRED: 'its TLS certificate has expired',
  CERT_NOT_YET_VALID: 'its TLS certificate is not valid yet',
  CERT_REVOKED: 'its TLS certificate was revoked',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its TLS certificate is signed by itself, and not among those we trust',
  SELF_SIGNED_CERT_IN_CHAIN: 'its TLS certificate is signed by an authority that we do not trust',
  UNABLE_TO_GET_ISSUER_CERT: 'its TLS certificate is signed by an authority that we do not trust',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its TLS certificate is signed by an authority that we do not trust',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its TLS certificate is signed by an authority that we do not trust',
  CERT_SIGNATURE_FAILURE: 'its TLS certificate is signed by an authority that we do not trust',
  INVALID_PURPOSE: 'its TLS certificate is not made for a server',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS on that port',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS on that port',
  // What node:https calls a handshake that broke; OpenSSL's own words follow it, with addresses of memory.
  EPROTO: 'it does not speak TLS on that port, or none that we speak',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'it speaks no TLS 1.2 or 1.3',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'it speaks no TLS 1.2 or 1.3',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'it wants a TLS certificate of ours',
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: 'it refused the TLS handshake: it may want a certificate of ours',
  'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE':
    'it refused the TLS handshake: it may want a certificate of ours',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'it does not trust the authority that signed our TLS certificate',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'it does not take our TLS certificate',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'our TLS certificate has expired',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: 'it does not take our TLS certificate',
};

/** A name with several addresses fails with an AggregateError, which has a code and no message. */
export function connectionFault(error: NodeJS.ErrnoException): string {
  const code = error.code ?? '';
  const words = WORDS[code] ?? TLS_WORDS[code];
  if (words === undefined) return error.message || code || error.name;
  return `${words}${namesOf(error)} (${code})`;
}

/** Which name a certificate has is what one needs to know when it is another. */
function namesOf(error: NodeJS.ErrnoException): string {
  if (error.code !== 'ERR_TLS_CERT_ALTNAME_INVALID') return '';
  const { cert } = error as { cert?: { subjectaltname?: string; subject?: { CN?: string | string[] } } };
  const names = cert?.subjectaltname ?? (cert?.subject?.CN && `CN:${String(cert.subject.CN)}`);
  return names ? `: ${names.slice(0, 200)}` : '';
}
