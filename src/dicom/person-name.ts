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

/** Marks after Latin, Greek and Cyrillic letters; in other scripts (kana voicing, Hangul, Indic vowels) they are letters. */
const LATIN_ACCENTS = /([\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}])\p{Mn}+/gu;

/** Latin letters that carry their stroke or ligature without a combining mark, so that NFKD leaves them. */
const UNDECOMPOSED: Record<string, string> = { ø: 'o', æ: 'ae', œ: 'oe', ł: 'l', đ: 'd', ð: 'd' };
