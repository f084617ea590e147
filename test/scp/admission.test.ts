import { describe, expect, it } from 'vitest';
import type { AssociationRequest } from '../../src/dimse/association-request.ts';
import { type AdmissionPolicy, admit } from '../../src/scp/admission.ts';

const policy: AdmissionPolicy = {
  aeTitle: 'ISOCENTER',
  promiscuous: false,
  knownAes: [],
  maxAssociations: 3,
};
const request = (more: Partial<AssociationRequest> = {}): AssociationRequest => ({
  calledAeTitle: 'ISOCENTER',
  callingAeTitle: 'CT_1',
  remoteAddress: '10.0.0.5',
  remotePort: 1,
  implementationClassUid: '',
  implementationVersionName: '',
  maxPduLength: 0,
  contexts: [],
  ...more,
});
const known = {
  ...policy,
  knownAes: [
    { aeTitle: 'CT_1', address: '10.0.0.5' },
    { aeTitle: 'MR_1', address: undefined },
  ],
};

/** Result, source and reason of PS3.8 Table 9-21; undefined when it is let in. */
function refusal(decision: ReturnType<typeof admit>): number[] | undefined {
  if ('accept' in decision) return undefined;
  const { result, source, reason } = decision.reject;
  return [result, source, reason];
}

describe('an association request', () => {
  it.each([
    ['to us, on loopback', request(), policy, 0, undefined],
    ['to another AE title', request({ calledAeTitle: 'OTHER' }), policy, 0, [1, 1, 7]],
    ['to our title in other letters', request({ calledAeTitle: 'isocenter' }), policy, 0, [1, 1, 7]],
    ['when the last place is left', request(), policy, 2, undefined],
    ['when no place is left', request(), policy, 3, [2, 3, 2]],
    ['of a known modality', request(), known, 0, undefined],
    ['of it over IPv6-mapped IPv4', request({ remoteAddress: '::ffff:10.0.0.5' }), known, 0, undefined],
    ['of a known title at another address', request({ remoteAddress: '10.0.0.6' }), known, 0, [1, 1, 3]],
    ['of a title known at any address', request({ callingAeTitle: 'MR_1' }), known, 0, undefined],
    ['of an unknown title', request({ callingAeTitle: 'US_1' }), known, 0, [1, 1, 3]],
    [
      'of an unknown title where all may call',
      request({ callingAeTitle: 'US_1' }),
      { ...known, promiscuous: true },
      0,
      undefined,
    ],
    ['with a NUL in its title', request({ callingAeTitle: 'CT\0_1' }), policy, 0, [1, 1, 3]],
  ] as const)('%s', (_, asked, by, open, expected) => {
    expect(refusal(admit(asked, by, open))).toEqual(expected);
  });

  it('that is refused is explained, with the setting that decides', () => {
    const sentence = (decision: ReturnType<typeof admit>): string =>
      'reject' in decision ? decision.reject.sentence : '';
    expect(sentence(admit(request(), policy, 3))).toContain('MAX_ASSOCIATIONS');
    expect(sentence(admit(request({ callingAeTitle: 'US_1' }), known, 0))).toMatch(
      /US_1 at 10.0.0.5.*KNOWN_AES/,
    );
    expect(sentence(admit(request({ calledAeTitle: 'X\u0007Y' }), policy, 0))).toMatch(
      /X\?Y.*ISOCENTER \(AE_TITLE\)/,
    );
  });
});
