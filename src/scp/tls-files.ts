/**
 * The PEM files of the TLS listener: read and checked when scp.ts starts, looked at again every minute, so that a
 * renewed certificate is taken up without a restart.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { DicomTlsConfig } from '../config.ts';
import { asFailure, Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import type { TlsMaterial } from './tls.ts';

const LOOK_MS = 60_000;
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

export interface TlsFiles {
  material: TlsMaterial;
  /** What is odd and does not stop the start. */
  warnings: string[];
}

/** @throws Failure 'invalid' with every fault: a file that cannot be read, is no PEM, a key that is another's */
export async function readTlsFiles(config: DicomTlsConfig, now = new Date()): Promise<TlsFiles> {
  const faults: string[] = [];
  const read = async (setting: string, file: string): Promise<string | undefined> => {
    try {
      return await readFile(file, 'utf8');
    } catch (thrown) {
      faults.push(`${setting}: ${file} cannot be read (${(thrown as NodeJS.ErrnoException).code})`);
      return undefined;
    }
  };
  const [keyText, certText, caText] = await Promise.all([
    read('DICOM_TLS_KEY', config.key),
    read('DICOM_TLS_CERT', config.cert),
    config.ca === undefined ? undefined : read('DICOM_TLS_CA', config.ca),
  ]);
  const key = keyText === undefined ? undefined : parseKey(keyText, faults);
  const [certificate] = certText === undefined ? [] : parseCertificates('DICOM_TLS_CERT', certText, faults);
  const authorities = caText === undefined ? [] : parseCertificates('DICOM_TLS_CA', caText, faults);
  if (key && certificate && !certificate.checkPrivateKey(key))
    faults.push('DICOM_TLS_KEY is not the key of the first certificate in DICOM_TLS_CERT');
  if (keyText === undefined || certText === undefined || faults.length > 0)
    throw new Failure('invalid', `The DICOM TLS listener cannot start:\n  ${faults.join('\n  ')}`);
  const warnings = [
    ...(certificate ? [certificate] : []).flatMap((one) => validity('DICOM_TLS_CERT', one, now)),
    ...authorities.flatMap((one) => validity('DICOM_TLS_CA', one, now)),
  ];
  return { material: { key: keyText, cert: certText, ca: caText, client: config.client }, warnings };
}

function parseKey(text: string, faults: string[]): KeyObject | undefined {
  try {
    return createPrivateKey(text);
  } catch (thrown) {
    // OpenSSL's words name the form that was expected and never the key.
    faults.push(`DICOM_TLS_KEY is no private key in PEM without a password (${asFailure(thrown).message})`);
    return undefined;
  }
}

function parseCertificates(setting: string, text: string, faults: string[]): X509Certificate[] {
  try {
    const found = [...text.matchAll(PEM_CERTIFICATE)].map(([pem]) => new X509Certificate(pem));
    if (found.length === 0) faults.push(`${setting} holds no certificate in PEM`);
    return found;
  } catch (thrown) {
    faults.push(`${setting} holds a certificate that cannot be read (${asFailure(thrown).message})`);
    return [];
  }
}

function validity(setting: string, { validFrom, validTo }: X509Certificate, now: Date): string[] {
  if (Date.parse(validTo) < now.getTime()) return [`${setting}: a certificate has expired (${validTo})`];
  if (Date.parse(validFrom) > now.getTime())
    return [`${setting}: a certificate is not valid yet (${validFrom})`];
  return [];
}

/** Tells of files that have changed and can be used; what cannot be used is logged and the old stays. */
export function followTlsFiles(
  config: DicomTlsConfig,
  first: TlsMaterial,
  log: Log,
  onChange: (material: TlsMaterial) => void,
  everyMs = LOOK_MS,
): { stop(): void } {
  let known = first;
  let lastFault = '';
  const look = async (): Promise<void> => {
    const { material, warnings } = await readTlsFiles(config);
    lastFault = '';
    if (material.key === known.key && material.cert === known.cert && material.ca === known.ca) return;
    for (const warning of warnings) log.warn(warning);
    known = material;
    onChange(material);
    log.info('the DICOM TLS certificate was taken up anew');
  };
  const timer = setInterval(() => {
    look().catch((thrown: unknown) => {
      const { message } = asFailure(thrown);
      if (message !== lastFault)
        log.error({ reason: message }, 'the changed TLS files are not used; the former ones stay');
      lastFault = message;
    });
  }, everyMs);
  return { stop: () => clearInterval(timer) };
}
