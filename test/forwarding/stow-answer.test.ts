import { describe, expect, test } from 'vitest';
import { judgeStow } from '../../src/forwarding/stow-answer.ts';
import { stowBody } from './stow-receiver.ts';

describe('judgeStow', () => {
  const judged = (status: number, body?: unknown, isEarly = false) =>
    judgeStow(
      { status, body, retryAfterMs: undefined, contentType: 'application/dicom+json', isEarly },
      ['1.1', '1.2'],
      [],
    );
  const states = (status: number, body?: unknown) => {
    const judgement = judged(status, body);
    return judgement.kind === 'instances'
      ? [...judgement.verdicts.values()].map(({ state }) => state)
      : judgement.kind;
  };

  test('what came before the server had all of the request proves nothing', () => {
    const judgement = judged(202, stowBody(['1.1'], { '1.2': 0xc000 }), true);
    if (judgement.kind !== 'instances') throw new Error(judgement.kind);
    expect([...judgement.verdicts.values()].map(({ state }) => state)).toEqual(['owed', 'failed']);
  });

  test.each([
    ['200, both named', 200, stowBody(['1.1', '1.2']), ['delivered', 'delivered']],
    ['200 without a body proves nothing', 200, undefined, ['failed', 'failed']],
    [
      '200 with empty lists, as Orthanc answers parts it skipped',
      200,
      { '00081198': { vr: 'SQ' }, '00081199': { vr: 'SQ' } },
      ['failed', 'failed'],
    ],
    ['200 that names only one proves only one', 200, stowBody(['1.1']), ['delivered', 'failed']],
    ['202, one failed', 202, stowBody(['1.1'], { '1.2': 0xc000 }), ['delivered', 'failed']],
    ['202 without a body proves nothing', 202, undefined, ['failed', 'failed']],
    ['204 proves nothing', 204, undefined, ['failed', 'failed']],
    ['409, transient and permanent', 409, stowBody([], { '1.1': 0xa700, '1.2': 0x0122 }), ['owed', 'failed']],
    ['409, already there', 409, stowBody([], { '1.1': 0x0111, '1.2': 0x0111 }), ['warning', 'warning']],
    ['409 in an array', 409, [stowBody(['1.1'], { '1.2': 0xa900 })], ['delivered', 'failed']],
    [
      'a failure without a reason',
      409,
      { '00081198': { vr: 'SQ', Value: [{ '00081155': { vr: 'UI', Value: ['1.1'] } }] } },
      ['failed', 'failed'],
    ],
    ['409 without a word', 409, undefined, 'unclear'],
    ['413', 413, undefined, 'unclear'],
    ['500', 500, undefined, 'unclear'],
    ['500 that claims success', 500, stowBody(['1.1', '1.2']), 'unclear'],
    ['302', 302, undefined, 'whole'],
    ['401', 401, undefined, 'whole'],
    ['503', 503, undefined, 'whole'],
    ['a login page for a body', 200, undefined, ['failed', 'failed']],
    [
      'nulls where sequences belong',
      202,
      { '00081199': { Value: [null, 1, { '00081155': null }] } },
      ['failed', 'failed'],
    ],
  ])('%s', (_name, status, body, expected) => {
    expect(states(status, body)).toEqual(expected);
  });
});
