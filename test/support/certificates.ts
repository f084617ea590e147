/**
 * Certificates for TLS tests, made by openssl while the test runs: authorities, and what they sign.
 * Every file lies in the folder given; the keys are of this run alone.
 */
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
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
  /** One that was good for a day of 2020. */
  issueExpired(commonName: string, altNames: string): Promise<Identity>;
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
    issueExpired: (commonName, altNames) => makeExpired(folder, self, commonName, altNames),
  };
}

/** `openssl req` of 3.0 knows no dates of its own, `openssl ca` does, and wants a config and a list of what it signed. */
async function makeExpired(
  folder: string,
  authority: Identity,
  commonName: string,
  altNames: string,
): Promise<Identity> {
  const base = path.join(folder, `expired-${commonName}`);
  const [key, cert, request, config] = ['key.pem', 'cert.pem', 'csr', 'cnf'].map((end) => `${base}.${end}`);
  await writeFile(`${base}.index`, '');
  await writeFile(
    config!,
    [
      ...['[ca]', 'default_ca=one', '[one]', `database=${base}.index`, `new_certs_dir=${folder}`],
      ...['rand_serial=yes', 'default_md=sha256', 'policy=any', 'x509_extensions=names'],
      ...[
        '[any]',
        'organizationName=optional',
        'commonName=supplied',
        '[names]',
        `subjectAltName=${altNames}`,
      ],
    ].join('\n'),
  );
  await run('openssl', [
    ...['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-keyout', key!],
    ...['-subj', `/O=Isocenter test/CN=${commonName}`, '-out', request!],
  ]);
  await run('openssl', [
    ...['ca', '-batch', '-config', config!, '-cert', authority.cert, '-keyfile', authority.key],
    ...[
      '-startdate',
      '20200101000000Z',
      '-enddate',
      '20200102000000Z',
      '-in',
      request!,
      '-out',
      cert!,
      '-notext',
    ],
  ]);
  const { fingerprint256 } = new X509Certificate(await readFile(cert!));
  return { key: key!, cert: cert!, fingerprint: fingerprint256 };
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
