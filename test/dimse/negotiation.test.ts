import { describe, expect, it } from 'vitest';
import { negotiateStorage } from '../../src/dimse/negotiate-storage.ts';
import { planContexts } from '../../src/dimse/plan-contexts.ts';
import { CT, EXPLICIT, IMPLICIT, VERIFICATION } from './raw-peer.ts';

const jpeg = '1.2.840.10008.1.2.4.50';

describe('negotiateStorage', () => {
  const answer = (abstractSyntax: string, transferSyntaxes: string[], policy = {}) =>
    negotiateStorage({ id: 1, abstractSyntax, transferSyntaxes }, policy);

  it("takes the sender's first syntax that can be kept", () => {
    expect(answer(CT, [jpeg, EXPLICIT, IMPLICIT])).toBe(jpeg);
    expect(answer(CT, ['1.2.3', IMPLICIT, jpeg])).toBe(IMPLICIT);
    expect(answer(CT, ['1.2.3', '1.2.840.10008.1.2.4.94'])).toBe('refuse-transfer-syntaxes');
  });

  it('takes Verification only uncompressed', () => {
    expect(answer(VERIFICATION, [jpeg, IMPLICIT])).toBe(IMPLICIT);
    expect(answer(VERIFICATION, [jpeg])).toBe('refuse-transfer-syntaxes');
  });

  it('takes storage classes younger than the table, and no query service', () => {
    expect(answer('1.2.840.10008.5.1.4.1.1.9999.1', [EXPLICIT])).toBe(EXPLICIT);
    expect(answer('1.2.840.10008.5.1.4.34.7', [EXPLICIT])).toBe(EXPLICIT);
    for (const uid of [
      '1.2.840.10008.5.1.4.1.2.2.1',
      '1.2.840.10008.5.1.4.31',
      '1.2.840.10008.5.1.4.1.1.201.2',
    ]) {
      expect(answer(uid, [EXPLICIT])).toBe('refuse-abstract-syntax');
    }
  });

  it('takes private classes by policy', () => {
    expect(answer('1.3.12.2.1107.5.9.1', [EXPLICIT])).toBe(EXPLICIT);
    expect(answer('1.3.12.2.1107.5.9.1', [EXPLICIT], { privateSopClasses: false })).toBe(
      'refuse-abstract-syntax',
    );
  });
});

describe('planContexts', () => {
  it('gives each class and stored syntax a context of its own, once', () => {
    const object = (sopClassUid: string, transferSyntaxUid: string) => ({ sopClassUid, transferSyntaxUid });
    expect(
      planContexts([object(CT, EXPLICIT), object(CT, jpeg), object(CT, EXPLICIT), object('1.2', EXPLICIT)]),
    ).toEqual([
      [
        { abstractSyntax: CT, transferSyntaxes: [EXPLICIT] },
        { abstractSyntax: CT, transferSyntaxes: [jpeg] },
        { abstractSyntax: '1.2', transferSyntaxes: [EXPLICIT] },
      ],
    ]);
    expect(planContexts([])).toEqual([]);
  });

  it('splits more than 128 contexts', () => {
    const objects = Array.from({ length: 300 }, (_, n) => ({
      sopClassUid: `1.2.${n}`,
      transferSyntaxUid: EXPLICIT,
    }));
    expect(planContexts(objects).map((contexts) => contexts.length)).toEqual([128, 128, 44]);
  });
});
