import { describe, expect, test } from 'vitest';
import { characterSetOf, decodeText } from '../../src/dicom/charset.ts';

/** Bytes written as Latin-1 text. */
const bytes = (text: string) => Buffer.from(text, 'latin1');
const decoded = (characterSet: string, text: string, vr = 'PN') =>
  decodeText(bytes(text), characterSetOf(bytes(characterSet)), vr);

describe('the examples of PS3.5 Annexes H, I, J and others', () => {
  const japanese = '=山田^太郎=やまだ^たろう';

  test.each([
    [
      '\\ISO 2022 IR 87',
      'Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B',
      `Yamada^Tarou${japanese}`,
    ],
    [
      'ISO 2022 IR 13\\ISO 2022 IR 87',
      '\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J',
      `ﾔﾏﾀﾞ^ﾀﾛｳ${japanese}`,
    ],
    [
      '\\ISO 2022 IR 149',
      'Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf',
      'Hong^Gildong=洪^吉洞=홍^길동',
    ],
    ['ISO_IR 192', 'Wang^XiaoDong=\xe7\x8e\x8b^\xe5\xb0\x8f\xe6\x9d\xb1=', 'Wang^XiaoDong=王^小東='],
    ['GB18030', 'Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=', 'Wang^XiaoDong=王^小东='],
    ['ISO_IR 144', '\xbb\xee\xda\x63\x65\xdc\xd1\x79\x70\xd3', 'Люкceмбypг'],
    ['ISO_IR 100', 'M\xfcller^J\xfcrgen', 'Müller^Jürgen'],
  ])('%s', (characterSet, text, expected) => {
    expect(decoded(characterSet, text)).toBe(expected);
  });
});

test('padding and NULs go, line ends stay', () => {
  expect(decoded('', 'A^B\0\0 ')).toBe('A^B');
  expect(decoded('ISO_IR 100', 'one\r\ntwo\r\n  ', 'UT')).toBe('one\r\ntwo\r\n');
});

test('terms as senders write them', () => {
  for (const term of ['ISO IR 100', 'iso_ir 100', 'ISO-IR 100', 'ISO_IR 100\0', ' ISO_IR 100 ']) {
    expect(decoded(term, 'M\xfcller')).toBe('Müller');
  }
  expect(characterSetOf(bytes('ISO 2022-IR 87'))).toEqual(['ISO 2022 IR 87']);
  expect(characterSetOf(bytes(''))).toBeUndefined();
  expect(characterSetOf(undefined)).toBeUndefined();
});

describe('what is declared wrongly falls back and never throws', () => {
  test('undeclared or unknown: UTF-8 where it is valid, else Latin-1', () => {
    for (const characterSet of ['', 'ISO_IR 6', 'KLINGON', 'ISO_IR 100\\KLINGON']) {
      expect(decoded(characterSet, 'M\xc3\xbcller').length).toBeGreaterThanOrEqual(6);
    }
    expect(decoded('', 'M\xc3\xbcller')).toBe('Müller');
    expect(decoded('KLINGON', 'M\xfcller')).toBe('Müller');
  });

  test('an escape that leads nowhere', () => {
    expect(decoded('\\ISO 2022 IR 87', 'A\x1b$Zxx')).toContain('A');
    expect(decoded('\\ISO 2022 IR 159', 'A\x1b$(Dx')).toContain('A');
  });

  test('broken UTF-8 is replaced', () => {
    expect(decoded('ISO_IR 192', 'A\xffB')).toBe('A\uFFFDB');
  });
});

test('VRs outside the character set stay in the default repertoire', () => {
  expect(decoded('ISO_IR 144', '\xc4', 'CS')).toBe('Ä');
});
