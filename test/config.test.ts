import { describe, expect, it } from 'vitest';
import { type Config, isLoopback, parseConfig } from '../src/config.ts';
import { Failure } from '../src/failure.ts';

const parse = (env: Record<string, string> = {}): Config => parseConfig(env, '/srv/isocenter');
function faults(env: Record<string, string>): string {
  try {
    parse(env);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(Failure);
    expect((thrown as Failure).kind).toBe('invalid');
    return (thrown as Failure).message;
  }
  throw new Error('no fault was found');
}

describe('without any setting', () => {
  it('the program listens on loopback, keeps its own database and stores files', () => {
    expect(parse()).toMatchObject({
      dataFolder: '/srv/isocenter/storage/data',
      http: { host: '127.0.0.1', port: 8080, open: false },
      dicom: { host: '127.0.0.1', port: 11112, aeTitle: 'ISOCENTER', promiscuous: false, knownAes: [] },
      databaseUrl: undefined,
      s3: undefined,
      redisUrl: undefined,
      fhir: undefined,
      stableAgeS: 60,
      ackAfter: 'journal',
    });
  });
  it('nobody can change it later', () => {
    const config = parse({ KNOWN_AES: 'CT1' });
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.dicom.knownAes[0])).toBe(true);
  });
  it('empty and blank settings count as not set', () => {
    expect(parse({ HTTP_PORT: '', DICOM_PORT: ' ', AE_TITLE: '  ', DATABASE_URL: '' })).toEqual(parse());
  });
});

describe('faults', () => {
  it('are all said at once, one line each, those between settings too', () => {
    const message = faults({
      HTTP_PORT: '70000',
      DICOM_PORT: 'eleven',
      AE_TITLE: 'A_TITLE_THAT_IS_TOO_LONG',
      STABLE_AGE_S: '-1',
      JOURNAL_LIMIT: 'much',
      ACK_AFTER: 'never',
      PUBLIC_URL: 'ftp://x',
      S3_ENDPOINT: 'http://s3.example',
      HTTP_HOST: '0.0.0.0',
      DICOM_HOST: '0.0.0.0',
    });
    expect(message).toMatch(/^The configuration has 10 faults:\n/);
    for (const name of [
      'HTTP_PORT',
      'DICOM_PORT',
      'AE_TITLE',
      'STABLE_AGE_S',
      'JOURNAL_LIMIT',
      'ACK_AFTER',
      'PUBLIC_URL',
    ])
      expect(message).toMatch(new RegExp(`\\n  ${name}\\b`));
    expect(message).toContain('S3_ACCESS_KEY and S3_SECRET_KEY must be set');
    expect(message).toContain('ISOCENTER_OPEN=1');
    expect(message).toContain('DICOM_PROMISCUOUS=1');
  });
  it('show what was set, never a secret', () => {
    const secret = 'hunter2';
    const message = faults({
      HTTP_PORT: '8o8o',
      DATABASE_URL: `mysql://u:${secret}@h/d`,
      REDIS_URL: `http://:${secret}@h`,
      S3_ENDPOINT: `s3://u:${secret}@h`,
      PUBLIC_URL: `ftp://u:${secret}@h`,
      FHIR_BASE_URL: `x://u:${secret}@h`,
    });
    expect(message).toContain('(it is "8o8o")');
    expect(message).not.toContain(secret);
    expect(message).toMatch(/6 faults/);
  });
  it('of a key that can be guessed are said without it, and its line end does not count', () => {
    for (const key of ['short', '0123456789abcdef', 'abab'.repeat(20), ' '.repeat(15) + 'x'.repeat(20)]) {
      const message = faults({ DEIDENTIFY_KEY: key });
      expect(message).toContain('openssl rand -hex 32');
      expect(message).not.toContain(key.trim());
    }
    const key = '0123456789abcdef0123456789abcdef';
    expect(parse({ DEIDENTIFY_KEY: `${key}\n` }).deidentifyKey).toBe(key);
  });
  it('of a flag that is neither yes nor no do not read as no', () => {
    const message = faults({ HTTP_HOST: '10.0.0.1', ISOCENTER_OPEN: 'yes' });
    expect(message).toMatch(/one fault:\n {2}ISOCENTER_OPEN/);
  });
});

describe('beyond loopback', () => {
  it.each(['127.0.0.1', '127.8.9.1', '::1', 'localhost'])('%s is loopback', (host) => {
    expect(isLoopback(host)).toBe(true);
    expect(parse({ HTTP_HOST: host, DICOM_HOST: host }).http.host).toBe(host);
  });
  it.each(['0.0.0.0', '::', '10.0.0.1', '127.evil.example', 'archive.local', '::ffff:127.0.0.1'])(
    '%s is not',
    (host) => {
      expect(isLoopback(host)).toBe(false);
      expect(faults({ HTTP_HOST: host })).toContain('HTTP_HOST');
      expect(faults({ DICOM_HOST: host })).toContain('KNOWN_AES');
    },
  );
  it('it opens when that is said', () => {
    expect(parse({ HTTP_HOST: '0.0.0.0', ISOCENTER_OPEN: '1' }).http.open).toBe(true);
    expect(parse({ DICOM_HOST: '0.0.0.0', DICOM_PROMISCUOUS: 'true' }).dicom.promiscuous).toBe(true);
    expect(parse({ DICOM_HOST: '0.0.0.0', KNOWN_AES: 'CT1@10.0.0.5, MR1' }).dicom.knownAes).toEqual([
      { aeTitle: 'CT1', address: '10.0.0.5' },
      { aeTitle: 'MR1', address: undefined },
    ]);
  });
  it('opens to nobody yet where the list is kept at /api/aes', () => {
    const { dicom } = parse({ DICOM_HOST: '0.0.0.0', KNOWN_AES: '/api/aes' });
    expect(dicom).toMatchObject({ knownAes: [], mayBeOpen: false, promiscuous: false });
    expect(parse({ KNOWN_AES: '/api/aes' }).dicom.mayBeOpen).toBe(false);
    expect(parse({ KNOWN_AES: 'CT1' }).dicom.mayBeOpen).toBe(false);
    expect(parse().dicom.mayBeOpen).toBe(true);
  });
  it.each(['@10.0.0.5', 'CT1@', 'CT1@scanner.local', 'A_TITLE_THAT_IS_TOO_LONG', 'C\\T'])(
    'KNOWN_AES takes no %s, which nobody could ever match',
    (entry) => {
      expect(faults({ KNOWN_AES: `MR1,${entry}` })).toContain(`"${entry}" is not AE or AE@IP-ADDRESS`);
    },
  );
});

describe('DICOM ports and TLS', () => {
  const files = { DICOM_TLS_KEY: 'tls/key.pem', DICOM_TLS_CERT: '/etc/isocenter/cert.pem' };
  it('there is no TLS port unless it is asked for', () => {
    expect(parse().dicom.tls).toBeUndefined();
    expect(parse({ DICOM_TLS_PORT: 'off', ...files }).dicom.tls).toBeUndefined();
  });
  it('its files are relative to the project, and client certificates are asked for where an authority is named', () => {
    expect(parse({ DICOM_TLS_PORT: '2762', ...files }).dicom.tls).toEqual({
      port: 2762,
      key: '/srv/isocenter/tls/key.pem',
      cert: '/etc/isocenter/cert.pem',
      ca: undefined,
      client: 'none',
    });
    const { tls } = parse({ DICOM_TLS_PORT: '2762', ...files, DICOM_TLS_CA: 'ca.pem' }).dicom;
    expect(tls).toMatchObject({ ca: '/srv/isocenter/ca.pem', client: 'require' });
  });
  it('the plain port can be closed beside a TLS port only', () => {
    expect(parse({ DICOM_PORT: 'off', DICOM_TLS_PORT: '2762', ...files }).dicom.port).toBeUndefined();
    expect(faults({ DICOM_PORT: 'off' })).toContain('DICOM_TLS_PORT must be set');
  });
  it.each([
    [{ DICOM_TLS_PORT: '2762' }, 'DICOM_TLS_KEY and DICOM_TLS_CERT must name PEM files'],
    [{ DICOM_TLS_PORT: '11112', ...files }, 'need a port each'],
    [{ DICOM_TLS_PORT: '2762', ...files, DICOM_TLS_CLIENT: 'require' }, 'DICOM_TLS_CA must name'],
    [{ DICOM_TLS_PORT: '2762', ...files, DICOM_TLS_CLIENT: 'yes' }, 'one of none, accept, require'],
    [{ DICOM_MAX_PDU: '1KB' }, 'DICOM_MAX_PDU'],
    [{ DICOM_ARTIM_S: '0' }, 'seconds, from 1'],
  ])('%j is a fault', (env, words) => {
    expect(faults(env as unknown as Record<string, string>)).toContain(words);
    expect(faults(env as unknown as Record<string, string>)).toContain('one fault');
  });
});

describe('sizes', () => {
  it.each([
    ['1073741824', 1024 ** 3],
    ['512MB', 512 * 1024 ** 2],
    ['1.5 gb', 1.5 * 1024 ** 3],
    ['2TB', 2 * 1024 ** 4],
    ['400000KB', 400_000 * 1024],
  ])('%s', (text, bytes) => {
    expect(parse({ JOURNAL_LIMIT: text }).journal.limitBytes).toBe(bytes);
  });
  it.each(['4XB', 'GB', '-1GB', '1,5GB', '1 2 GB', '0x10'])('%s is none', (text) => {
    expect(faults({ DISK_RESERVE: text })).toContain('a size such as 512MB or 4GB');
  });
  it('a journal limit under which a receiver would starve is a fault', () => {
    expect(faults({ JOURNAL_LIMIT: '100MB' })).toContain('at least 192MB');
    expect(faults({ JOURNAL_LIMIT: '300MB', RECEIVERS: '4' })).toContain('at least 320MB');
    expect(parse({ JOURNAL_LIMIT: '192MB' }).journal.limitBytes).toBe(192 * 1024 ** 2);
  });
});

describe('paths and addresses', () => {
  it('a relative data folder lies in the project, an absolute one where it says', () => {
    expect(parse({ ISOCENTER_DATA: 'elsewhere' }).dataFolder).toBe('/srv/isocenter/elsewhere');
    expect(parse({ ISOCENTER_DATA: '/data' }).dataFolder).toBe('/data');
  });
  it('base URLs end without a slash', () => {
    const config = parse({ PUBLIC_URL: 'https://pacs.example/x//', FHIR_BASE_URL: 'http://ehr/fhir/' });
    expect(config.publicUrl).toBe('https://pacs.example/x');
    expect(config.fhir?.baseUrl).toBe('http://ehr/fhir');
  });
});
