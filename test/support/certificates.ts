/**
 * Certificates for TLS tests, made by openssl while the test runs: authorities, and what they sign.
 * Every file lies in the folder given; the keys are of this run alone.
 */
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Identity {
  /** PEM files. */
  key: string;
  cert: string;
  /** SHA-256 with colons, as openssl prints it. */
  fingerprint: string;
}

export interface Authority extends Identity {
  issue(commonName: string, more?: { altNames?: string; days?: number }): Promise<Identity>;
}

export async function createAuthority(folder: string, name: string): Promise<Authority> {
  const self = await make(folder, name, name, [
    ...['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
    ...['-days', '2'],
  ]);
  return {
    ...self,
    issue: (commonName, { altNames, days = 2 } = {}) =>
      make(folder, `${name}-${commonName}-${days}`, commonName, [
        ...['-CA', self.cert, '-CAkey', self.key, '-days', String(days)],
        ...(altNames === undefined ? [] : ['-addext', `subjectAltName=${altNames}`]),
      ]),
  };
}

async function make(folder: string, name: string, commonName: string, more: string[]): Promise<Identity> {
  const key = path.join(folder, `${name}.key.pem`);
  const cert = path.join(folder, `${name}.cert.pem`);
  await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc'],
    ...['-subj', `/O=Isocenter test/CN=${commonName}`, '-keyout', key, '-out', cert, ...more],
  ]);
  const { fingerprint256 } = new X509Certificate(await readFile(cert));
  return { key, cert, fingerprint: fingerprint256 };
}
