import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  errorComment,
  namesOffendingElement,
  status,
  statusClass,
  statusWord,
  storeAnswers,
} from '../../src/dimse/status.ts';
import { STORE_STATUS } from '../../src/scp/storage.ts';

describe('statusClass', () => {
  it.each([
    [0x0000, 'success'],
    [0xff00, 'pending'],
    [0xfe00, 'cancel'],
    [0x0107, 'warning'],
    [0xb000, 'warning'],
    [0xb007, 'warning'],
    [0xbfff, 'warning'],
    [0xa700, 'transient'],
    [0xa7ff, 'transient'],
    [0x0213, 'transient'],
    [0x0106, 'failure'],
    [0x0110, 'failure'],
    [0xa900, 'failure'],
    [0xc123, 'failure'],
    [0x7777, 'failure'],
  ])('of 0x%s is %s', (code, expected) => {
    expect(statusClass(code)).toBe(expected);
  });
});

describe('statusWord', () => {
  it('names what the Standard names', () => {
    expect(statusWord(0x0000)).toBe('0x0000 Success');
    expect(statusWord(0x0211)).toBe('0x0211 Unrecognized Operation');
    expect(statusWord(0xa700)).toBe('0xA700 Refused: Out of Resources');
    expect(statusWord(0xa7ab)).toBe('0xA7AB Refused: Out of Resources');
    expect(statusWord(0xb007)).toBe('0xB007 Data Set does not match SOP Class');
    expect(statusWord(0x0999)).toBe('0x0999 status not named by the Standard');
  });
});

describe('errorComment', () => {
  it('is one LO value of at most 64 characters of the default repertoire', () => {
    expect(errorComment('  The journal\nis full ')).toBe('The journal is full');
    expect(errorComment('Größe\\n')).toBe('Gr??e/n');
    const long = errorComment(
      '(0020,000D) StudyInstanceUID is missing, and without it the object belongs to no study',
    );
    expect(long).toHaveLength(64);
    expect(long.endsWith('...')).toBe(true);
  });
});

describe('the answers to a C-STORE', () => {
  it('stand in CONFORMANCE.md, each with its section of the Standard, and no others', () => {
    const whole = readFileSync(new URL('../../CONFORMANCE.md', import.meta.url), 'utf8');
    const text = /\n### C-STORE responses\n([\s\S]*?)\n##/.exec(whole)?.[1] ?? '';
    const written = text.split('\n').filter((line) => line.startsWith('| 0x'));
    const answered = storeAnswers.map(
      ({ status, when, source }) => `| ${statusWord(status)} | ${when} | ${source} |`,
    );
    expect(written.sort()).toEqual(answered.sort());
  });

  it('are all that the door picks from', () => {
    const named = new Set(storeAnswers.map(({ status }) => status));
    for (const [kind, code] of Object.entries(STORE_STATUS)) expect(named, kind).toContain(code);
  });

  it('name an Offending Element where PS3.4 Table B.2-1 has one', () => {
    const naming = Object.values(status).filter(namesOffendingElement);
    expect(naming).toEqual([status.dataSetDoesNotMatchSopClass, status.cannotUnderstand]);
  });
});
