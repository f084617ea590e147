/**
 * Person names (PS3.5 6.2, VR PN) made comparable for search: the study index keeps and asks for the folded form.
 */

/**
 * Lower case, without accents, components (^) and representations (=) separated by single spaces:
 * "Müller^Jürgen=…" becomes "muller jurgen …". Letters beyond Latin stay.
 */
export function foldPersonName(text: string): string {
  return text
    .normalize('NFKD')
    .replace(LATIN_ACCENTS, '$1')
    .normalize('NFC')
    .toLowerCase()
    .replaceAll('ß', 'ss')
    .replace(/[øæœłđð]/g, (letter) => UNDECOMPOSED[letter] ?? letter)
    .replace(/[\^=\s\0]+/g, ' ')
    .trim();
}

/** The representations of a PN value folded one by one, parted by "=" without trailing ones: "yamada tarou=山田 太郎". */
export function foldRepresentations(text: string): string {
  return text.split('=').slice(0, 3).map(foldPersonName).join('=').replace(/=+$/, '');
}

/**
 * The words a name is found by in fuzzy matching, whichever component or representation they stand in. Names written
 * without spaces (Chinese, Japanese, Korean) are found by any end of a word as well: 山田太郎 by 太郎.
 */
export function nameWords(text: string): string[] {
  const words = searchedWords(text);
  return [...new Set(words.flatMap((word) => (UNSPACED.test(word) ? endsOf(word) : [word])))];
}

/** The words of a search: each must begin one of a name's words. */
export function searchedWords(text: string): string[] {
  const words = foldPersonName(text)
    .split(/[^\p{L}\p{N}\p{M}]+/u)
    .filter((word) => word !== '')
    .map((word) => word.slice(0, MAX_WORD));
  return [...new Set(words)].slice(0, MAX_WORDS);
}

const endsOf = (word: string): string[] => [...word].map((_, at, letters) => letters.slice(at).join(''));

const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u;
/** Of a name that breaks every rule: a word of the index must stay small. */
const MAX_WORD = 64;
const MAX_WORDS = 32;

/** Marks after Latin, Greek and Cyrillic letters; in other scripts (kana voicing, Hangul, Indic vowels) they are letters. */
const LATIN_ACCENTS = /([\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}])\p{Mn}+/gu;

/** Latin letters that carry their stroke or ligature without a combining mark, so that NFKD leaves them. */
const UNDECOMPOSED: Record<string, string> = { ø: 'o', æ: 'ae', œ: 'oe', ł: 'l', đ: 'd', ð: 'd' };
