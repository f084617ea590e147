/** Names folded for search, their words, and that Postgres folds as we do. */
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import {
  foldPersonName,
  foldRepresentations,
  nameWords,
  searchedWords,
} from '../../src/dicom/person-name.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';

test.each([
  ['Müller-Lüdenscheid^Jürgen', 'muller-ludenscheid jurgen'],
  ['Yamada^Tarou=山田^太郎=やまだ^たろう', 'yamada tarou=山田 太郎=やまだ たろう'],
  ['=山田^太郎', '=山田 太郎'],
  ['Doe^Jane==', 'doe jane'],
  ['', ''],
])('%s is folded to %s', (name, folded) => {
  expect(foldRepresentations(name)).toBe(folded);
});

test.each([
  ['Müller-Lüdenscheid^Jürgen', ['muller', 'ludenscheid', 'jurgen']],
  ["O'Neill^Anne Marie^^Dr.", ['o', 'neill', 'anne', 'marie', 'dr']],
  ['Wang^XiaoDong=王^小东', ['wang', 'xiaodong', '王', '小东', '东']],
  ['Иванов^Пётр', ['иванов', 'петр']],
  ['^^', []],
])('%s has the words %j', (name, words) => {
  expect(nameWords(name)).toEqual(words);
});

test('words stay small and few, whatever the name is', () => {
  const words = nameWords(`${'x'.repeat(9000)} ${Array.from({ length: 500 }, (_, n) => `w${n}`).join(' ')}`);
  expect(words).toHaveLength(32);
  expect(Math.max(...words.map((word) => word.length))).toBe(64);
});

test('words of a search hold nothing that a text query or a pattern could read', () => {
  expect(searchedWords(`a'b & c:* | !(d) \\ e%f_g "h"`).join('')).toMatch(/^[a-h]+$/);
});

describe('folded_name in Postgres', () => {
  let db: TestDatabase;
  beforeAll(async () => {
    db = await testDatabase();
  });
  afterAll(() => db?.drop());

  it.each([
    'Müller-Lüdenscheid^Jürgen^^Dr.',
    'Østergård^Søren',
    'STRAßE^Œuvre Æther',
    'Łukasz^Đorđe',
    'Иванов^Пётр Йод',
    'Παπαδόπουλος^Άννα',
    '山田^太郎',
    'がぎぐ^ぱ',
    '홍^길동',
    'ＦＵＬＬ　ｗｉｄｔｈ',
    'Nguyễn^Thị',
    '  a  ^^ b = c ',
  ])('folds %s as we do', async (name) => {
    const { rows } = await db.database.query<{ folded: string }>('select folded_name($1) as folded', [name]);
    expect(rows[0]!.folded).toBe(foldPersonName(name).normalize('NFKD'));
  });
});
