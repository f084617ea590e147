/**
 * The words that name the patient of an object, so that text which may stay is looked at once more: a name that
 * somebody typed where none belongs is not sent. Asked by deidentification.ts and free-text.ts.
 */
import type { EditableDataSet } from './editable-data-set.ts';

const NAMES = ['00100010', '00101001', '00101005', '00101060'];
/** Patient IDs and the accession number. */
const IDS = ['00100020', '00101000', '00080050'];
const BIRTH_DATE = '00100030';
const OTHER_IDS = '00101002';
/** Shorter ones are in too many words. */
const LEAST_NAME = 3;
/** From here on also where it is a part of a word. */
const LONG_ID = 5;

export class NamesOfPatient {
  readonly #words: ReadonlySet<string>;
  /** Of scripts that write no spaces, where a name has no borders. */
  readonly #parts: readonly string[];

  /** @param root before anything is changed */
  constructor(root: EditableDataSet) {
    const all = (tags: readonly string[]): string[] => tags.flatMap((tag) => root.texts(tag) ?? []);
    const names = all(NAMES).flatMap((name) => wordsOf(name));
    const others = root.items(OTHER_IDS).map((item) => item.text(IDS[0]!));
    const ids = [...all(IDS), ...others, ...all([BIRTH_DATE])].map(plain);
    const latin = (word: string): boolean =>
      /^[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\d]+$/u.test(word);
    this.#words = new Set([...names.filter(latin), ...ids].filter((word) => word.length >= LEAST_NAME));
    this.#parts = [
      ...ids.filter((id) => id.length >= LONG_ID),
      ...names.filter((name) => !latin(name) && name.length >= 2),
    ];
  }

  in(text: string): boolean {
    const upper = plain(text);
    if (this.#parts.some((part) => upper.includes(part))) return true;
    return this.#words.size > 0 && wordsOf(upper).some((word) => this.#words.has(word));
  }
}

function wordsOf(text: string): string[] {
  return plain(text)
    .split(/[^\p{L}\p{M}\p{N}]+/u)
    .filter(Boolean);
}

function plain(text: string): string {
  return text.normalize('NFKC').toUpperCase().trim();
}
