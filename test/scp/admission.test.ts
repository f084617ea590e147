import { describe, expect, it } from 'vitest';
import {
  type AdmissionDecision,
  type AdmissionPolicy,
  admit,
  type Caller,
  type ClientCertificate,
  overLimit,
} from '../../src/scp/admission.ts';
import { bootstrapAe, type KnownAe, parseKnownAe } from '../../src/scp/known-ae.ts';

const known = (json: object, name = 'one'): KnownAe => ({ ...parseKnownAe(json), name });
const policy = (...knownAes: KnownAe[]): AdmissionPolicy => ({
  aeTitle: 'ISOCENTER',
  strangers: 'refuse',
  knownAes,
  maxAssociations: 3,
  maxAssociationsPerAe: 2,
  privateSopClasses: 'accept',
});
const open: AdmissionPolicy = { ...policy(), strangers: 'accept' };
const request = (callingAeTitle = 'CT_1', calledAeTitle = 'ISOCENTER') => ({ callingAeTitle, calledAeTitle });
const from = (address: string): Caller => ({ address, tls: undefined });
const here = from('10.0.0.5');
const byTls = (certificate?: Partial<ClientCertificate>): Caller => ({
  address: '10.0.0.5',
  tls: {
    certificate: certificate && {
      verified: true,
      commonName: 'ct1',
      subjectAltNames: ['ct1.example', '10.0.0.5'],
      fingerprint: 'AB'.repeat(32),
      ...certificate,
    },
  },
});

/** Result, source and reason of PS3.8 Table 9-21 and our code; undefined when it is let in. */
function refusal(decision: AdmissionDecision): unknown[] | undefined {
  if ('accept' in decision) return undefined;
  const { result, source, reason, code } = decision.reject;
  return [result, source, reason, code];
}
const sentence = (decision: AdmissionDecision): string =>
  'reject' in decision ? decision.reject.sentence : '';

const notCalled = [1, 1, 7, 'called-ae'];
const unknown = [1, 1, 3, 'calling-ae'];
const elsewhere = [1, 1, 3, 'address'];
const wrongCertificate = [1, 1, 3, 'certificate'];

const environment = policy(
  bootstrapAe({ aeTitle: 'CT_1', address: '10.0.0.5' }),
  bootstrapAe({ aeTitle: 'MR_1', address: undefined }),
);
const ranges = policy(
  known({ aeTitle: 'CT_1', addresses: ['10.0.0.0/29', 'fd00::/16'] }),
  known({ aeTitle: 'CT_1', addresses: ['192.168.1.9'] }, 'two'),
);
const tls = (certificate?: object): AdmissionPolicy =>
  policy(known({ aeTitle: 'CT_1', tls: 'required', ...(certificate && { certificate }) }));
const pinned = tls({ fingerprint: `${'ab:'.repeat(31)}ab` });

describe('an association request', () => {
  it.each([
    ['to us, where all may call', request(), here, open, undefined],
    ['to another AE title', request('CT_1', 'OTHER'), here, open, notCalled],
    ['to our title in other letters', request('CT_1', 'isocenter'), here, open, notCalled],
    ['with a NUL in its title', request('CT\0_1'), here, open, unknown],
    ['where nobody is known', request(), here, policy(), unknown],
    ['of a modality of KNOWN_AES', request(), here, environment, undefined],
    ['of it over IPv6-mapped IPv4', request(), from('::ffff:10.0.0.5'), environment, undefined],
    ['of a known title at another address', request(), from('10.0.0.6'), environment, elsewhere],
    ['of a title known at any address', request('MR_1'), here, environment, undefined],
    ['of an unknown title', request('US_1'), here, environment, unknown],
    [
      'of an unknown title where all may call',
      request('US_1'),
      here,
      { ...environment, strangers: 'accept' },
      undefined,
    ],
    [
      'of a known title elsewhere, where strangers may call',
      request(),
      from('10.0.0.6'),
      { ...environment, strangers: 'accept' },
      elsewhere,
    ],
    ['within a range', request(), from('10.0.0.7'), ranges, undefined],
    ['outside it', request(), from('10.0.0.8'), ranges, elsewhere],
    ['of the same title from its other address', request(), from('192.168.1.9'), ranges, undefined],
    ['within an IPv6 range', request(), from('fd00::5'), ranges, undefined],
    ['outside it, by IPv6', request(), from('fe80::5'), ranges, elsewhere],
    ['of a disabled AE', request(), here, policy(known({ aeTitle: 'CT_1', enabled: false })), unknown],
    [
      'of a disabled AE where strangers may call',
      request(),
      here,
      { ...policy(known({ aeTitle: 'CT_1', enabled: false })), strangers: 'accept' },
      unknown,
    ],
    ['on the plain port of an AE that must use TLS', request(), here, tls(), wrongCertificate],
    ['by TLS of an AE that must', request(), byTls(), tls(), undefined],
    ['with the right common name', request(), byTls({}), tls({ commonName: 'ct1' }), undefined],
    ['with no certificate', request(), byTls(), tls({ commonName: 'ct1' }), wrongCertificate],
    [
      'with another common name',
      request(),
      byTls({ commonName: 'ct2' }),
      tls({ commonName: 'ct1' }),
      wrongCertificate,
    ],
    [
      'with the right name by an unknown authority',
      request(),
      byTls({ verified: false }),
      tls({ commonName: 'ct1' }),
      wrongCertificate,
    ],
    [
      'with the right alternative name',
      request(),
      byTls({}),
      tls({ subjectAltName: 'ct1.example' }),
      undefined,
    ],
    [
      'with another alternative name',
      request(),
      byTls({}),
      tls({ subjectAltName: 'ct2.example' }),
      wrongCertificate,
    ],
    [
      'with one of two names',
      request(),
      byTls({}),
      tls({ commonName: 'ct1', subjectAltName: 'x' }),
      wrongCertificate,
    ],
    ['with the pinned certificate', request(), byTls({}), pinned, undefined],
    [
      'with the pinned certificate, signed by itself',
      request(),
      byTls({ verified: false }),
      pinned,
      undefined,
    ],
    [
      'with another certificate than the pinned',
      request(),
      byTls({ fingerprint: 'CD'.repeat(32) }),
      pinned,
      wrongCertificate,
    ],
  ] as const)('%s', (_, asked, caller, by, expected) => {
    expect(refusal(admit(asked, caller, by))).toEqual(expected);
  });

  it('that is refused is explained, with the setting that decides', () => {
    expect(sentence(admit(request('US_1'), here, environment))).toMatch(/US_1 at 10.0.0.5.*KNOWN_AES/);
    expect(sentence(admit(request(), from('10.0.0.9'), ranges))).toMatch(
      /not known at this address \(\/api\/aes\/one\)/,
    );
    expect(sentence(admit(request('CT_1', 'X\u0007Y'), here, open))).toMatch(/X\?Y.*ISOCENTER \(AE_TITLE\)/);
    expect(sentence(overLimit('total', 3, 'CT_1'))).toContain('MAX_ASSOCIATIONS)');
    expect(sentence(overLimit('per-ae', 2, 'CT_1'))).toMatch(/CT_1 has 2 .*MAX_ASSOCIATIONS_PER_AE/);
    expect(refusal(overLimit('per-ae', 2, 'CT_1'))).toEqual([2, 3, 2, 'limit']);
  });

  it('of several entries, the one the caller came nearest to is spoken of', () => {
    const two = policy(
      known({ aeTitle: 'CT_1', tls: 'required', addresses: ['10.0.0.5'] }, 'near'),
      known({ aeTitle: 'CT_1', addresses: ['10.9.9.9'] }, 'far'),
    );
    expect(sentence(admit(request(), here, two))).toMatch(/must come by TLS.*\/api\/aes\/near/);
    const shut = (addresses: string[]) =>
      policy(
        known({ aeTitle: 'CT_1', addresses: ['10.9.9.9'] }, 'far'),
        known({ aeTitle: 'CT_1', addresses, enabled: false }, 'shut'),
      );
    expect(sentence(admit(request(), here, shut([])))).toMatch(/is known and disabled \(\/api\/aes\/shut/);
    expect(sentence(admit(request(), here, shut(['10.8.8.8'])))).toMatch(/not known at this .*\/far/);
  });

  it('that is let in has the limits of its entry, or those of the site', () => {
    const own = policy(known({ aeTitle: 'CT_1', maxAssociations: 7, privateSopClasses: 'refuse' }));
    expect(admit(request(), here, own)).toEqual({ accept: { maxAssociations: 7, privateSopClasses: false } });
    expect(admit(request(), here, open)).toEqual({ accept: { maxAssociations: 2, privateSopClasses: true } });
  });
});

describe('a known AE', () => {
  it.each([
    [{}, /aeTitle is missing/],
    [{ aeTitle: 'A_TITLE_THAT_IS_TOO_LONG' }, /aeTitle: .*at most 16/],
    [{ aeTitle: 'CT', addresses: ['scanner.local'] }, /addresses\.0: expected an IP address or a range/],
    [{ aeTitle: 'CT', addresses: ['10.0.0.0/33'] }, /addresses\.0/],
    [{ aeTitle: 'CT', addresses: ['fe80::1%eth0'] }, /addresses\.0/],
    [{ aeTitle: 'CT', adresses: [] }, /adresses is not known here/],
    [{ aeTitle: 'CT', certificate: { commonName: 'x' } }, /tls: expected required/],
    [{ aeTitle: 'CT', tls: 'required', certificate: {} }, /certificate: expected a commonName/],
    [
      { aeTitle: 'CT', tls: 'required', certificate: { fingerprint: 'AB' } },
      /certificate\.fingerprint: .*64 hex/,
    ],
    [{ aeTitle: 'CT', maxAssociations: 0 }, /maxAssociations/],
  ])('%j is refused in words', (json, words) => {
    expect(() => parseKnownAe(json)).toThrow(words);
  });
});
