/**
 * What a parsed data set is: elements by tag, with views on their bytes.
 * Made by data-set.ts, which passes the types on; data-set-values.ts reads the values.
 */

export interface Element {
  /** Eight hex digits. */
  readonly tag: string;
  /**
   * As written; by the dictionary in Implicit VR and where UN is written, 'UN' where that does not know the tag.
   * UN of undefined length is 'SQ'.
   */
  readonly vr: string;
  /** A view on the value's bytes; empty for sequences and fragments. */
  readonly value: Uint8Array;
  readonly items?: DataSet[];
  /** Encapsulated values only: views on the items, the Basic Offset Table first. */
  readonly fragments?: Uint8Array[];
  /** Where its header begins, in bytes from the start of the data set. */
  readonly start: number;
  /** Its first value byte. */
  readonly offset: number;
  /** Value bytes as they lie there, delimitation items included; the next element begins at offset + length. */
  readonly length: number;
}

export interface DataSet {
  /** In the order of the bytes; of a repeated element the first, as in the header scan. */
  readonly elements: ReadonlyMap<string, Element>;
  /** Byte order of the numbers in the values. */
  readonly bigEndian: boolean;
  /** Defined terms of (0008,0005), inherited by items; undefined is the default repertoire. */
  readonly characterSet: string[] | undefined;
  /** On the root only: one sentence without patient data. */
  readonly fault?: string;
}
