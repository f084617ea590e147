/**
 * A data set that can be changed: made of a parsed header, edited by edit-attributes.ts and de-identify.ts, written
 * again as bytes. What nobody changed keeps its value bytes; only lengths of sequences and items are written anew.
 * Called by forwarding/changed-object.ts; the bytes go out before the pixels, which stay as they are stored.
 */
import { attribute } from '../dicom/attributes.ts';
import { decodeText } from '../dicom/charset.ts';
import { type DataSet, parseDataSet } from '../dicom/data-set.ts';
import { textValues } from '../dicom/data-set-values.ts';
import type { Element } from '../dicom/element.ts';
import {
  ITEM,
  ITEM_DELIMITATION,
  isLongForm,
  SEQUENCE_DELIMITATION,
  tagNumber,
  UNDEFINED_LENGTH,
  vrCode,
} from '../dicom/element-header.ts';
import { Failure } from '../failure.ts';
import { ElementWriter } from './element-writer.ts';
import { binaryValue } from './json-value.ts';

export interface EditableElement {
  readonly vr: string;
  readonly value: Uint8Array;
  readonly items?: EditableDataSet[];
  /** Of an icon's compressed pixels. */
  readonly fragments?: readonly Uint8Array[];
}

const SPECIFIC_CHARACTER_SET = '00080005';
const UTF_8 = 'ISO_IR 192';
/** VRs whose text follows (0008,0005) (PS3.5 6.1.2.2). */
const LOCALISED = new Set(['LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UT']);
/** The longest value that fits a 16-bit length field. */
const MAX_SHORT_LENGTH = 0xfffe;
const NO_BYTES = new Uint8Array(0);

export type Value = string | number;

export class EditableDataSet {
  readonly elements = new Map<string, EditableElement>();
  readonly #root: EditableDataSet;
  #characterSet: string[] | undefined;

  constructor(source: DataSet, root?: EditableDataSet) {
    this.#root = root ?? this;
    this.#characterSet = source.characterSet;
    for (const [tag, element] of source.elements) this.elements.set(tag, this.#editable(element));
  }

  #editable({ vr, value, items, fragments }: Element): EditableElement {
    if (items)
      return { vr, value: NO_BYTES, items: items.map((item) => new EditableDataSet(item, this.#root)) };
    return fragments ? { vr, value: NO_BYTES, fragments } : { vr, value };
  }

  /** The values as texts, each without its padding; undefined when the element is absent. */
  texts(tag: string): string[] | undefined {
    const element = this.elements.get(tag);
    return element && textValues({ characterSet: this.#characterSet }, element);
  }

  text(tag: string): string {
    return this.texts(tag)?.[0] ?? '';
  }

  items(tag: string): readonly EditableDataSet[] {
    return this.elements.get(tag)?.items ?? [];
  }

  /**
   * Replaces or adds. Text beyond ASCII makes the whole data set UTF-8 (ISO_IR 192), which holds every text.
   * @throws Failure 'invalid' naming the attribute that cannot have the value
   */
  set(tag: string, vr: string, values: readonly Value[]): void {
    const { bytes, beyondAscii } = encodeValues(tag, vr, values);
    if (beyondAscii) this.#root.becomeUtf8();
    this.elements.set(tag, { vr, value: bytes });
  }

  setItems(tag: string, items: EditableDataSet[]): void {
    this.elements.set(tag, { vr: 'SQ', value: NO_BYTES, items });
  }

  /** Zero values; of a sequence no items (PS3.5 7.4.2). */
  empty(tag: string, vr: string): void {
    this.elements.set(tag, vr === 'SQ' ? { vr, value: NO_BYTES, items: [] } : { vr, value: NO_BYTES });
  }

  setBytes(tag: string, vr: string, value: Uint8Array): void {
    this.elements.set(tag, { vr, value });
  }

  remove(tag: string): void {
    this.elements.delete(tag);
  }

  /** An item to fill, in the character set of this data set. */
  newItem(): EditableDataSet {
    return new EditableDataSet(
      { elements: new Map(), bigEndian: false, characterSet: this.#root.#characterSet },
      this.#root,
    );
  }

  becomeUtf8(): void {
    if (this === this.#root && this.#characterSet?.[0] === UTF_8 && this.#characterSet.length === 1) return;
    for (const [tag, element] of this.elements) {
      for (const item of element.items ?? []) item.becomeUtf8();
      if (!LOCALISED.has(element.vr) || isAscii(element.value)) continue;
      const text = Buffer.from(decodeText(element.value, this.#characterSet, element.vr));
      this.elements.set(tag, { ...element, value: padded(text) });
    }
    this.elements.delete(SPECIFIC_CHARACTER_SET);
    this.#characterSet = [UTF_8];
    if (this === this.#root) this.setBytes(SPECIFIC_CHARACTER_SET, 'CS', Buffer.from(UTF_8));
  }

  /** In Explicit or Implicit VR Little Endian (PS3.5 A.1, A.2), group lengths left out. */
  bytes(implicit: boolean): Buffer {
    const writer = new ElementWriter();
    this.#write(writer, implicit);
    return Buffer.concat(writer.take());
  }

  #write(writer: ElementWriter, implicit: boolean): void {
    for (const tag of [...this.elements.keys()].sort()) {
      if (tag.endsWith('0000') || tag < '00080000') continue;
      const { vr, value, items, fragments } = this.elements.get(tag)!;
      if (items) {
        writer.header(tagNumber(tag), implicit ? 0 : vrCode('SQ'), UNDEFINED_LENGTH);
        for (const item of items) {
          writer.header(ITEM, 0, UNDEFINED_LENGTH);
          item.#write(writer, implicit);
          writer.header(ITEM_DELIMITATION, 0, 0);
        }
        writer.header(SEQUENCE_DELIMITATION, 0, 0);
      } else if (fragments) {
        writer.header(tagNumber(tag), implicit ? 0 : vrCode(vr), UNDEFINED_LENGTH);
        for (const fragment of fragments) {
          writer.header(ITEM, 0, fragment.length);
          writer.value(fragment);
        }
        writer.header(SEQUENCE_DELIMITATION, 0, 0);
      } else {
        // PS3.5 6.2.2: what is too long for its VR's length field is written as UN.
        const long = value.length > MAX_SHORT_LENGTH && !isLongForm(vrCode(vr), 0);
        writer.header(tagNumber(tag), implicit ? 0 : vrCode(long ? 'UN' : vr), value.length);
        writer.value(value);
      }
    }
  }
}

/**
 * @param bytes in Little Endian: a header, or a data set whose pixels were not found and are an element like others
 * @throws Failure 'invalid' when it cannot be read to its end: what cannot be read cannot be changed
 */
export function editable(bytes: Uint8Array, transferSyntaxUid: string): EditableDataSet {
  const parsed = parseDataSet(bytes, transferSyntaxUid);
  if (parsed.fault !== undefined)
    throw new Failure('invalid', `the data set cannot be read to its end: ${parsed.fault}`);
  return new EditableDataSet(parsed);
}

/** @throws Failure 'invalid' naming the attribute */
export function encodeValues(
  tag: string,
  vr: string,
  values: readonly Value[],
): { bytes: Buffer; beyondAscii: boolean } {
  const given = vr === 'PN' ? values.map(personName) : values.map((value) => numbered(vr, value));
  const { bytes, beyondAscii } = binaryValue(tag, vr, { vr, Value: given });
  if (!isLongForm(vrCode(vr), 0) && bytes.length > MAX_SHORT_LENGTH)
    throw new Failure(
      'invalid',
      `${attribute(tag)?.keyword ?? tag} would be longer than its VR ${vr} can say`,
    );
  return { bytes, beyondAscii };
}

const BINARY_NUMBERS = new Set(['US', 'SS', 'UL', 'SL', 'FL', 'FD', 'SV', 'UV']);

/** Rules may write numbers as texts, and texts of digits as numbers. */
function numbered(vr: string, value: Value): Value {
  if (typeof value === 'string' && BINARY_NUMBERS.has(vr) && value.trim() !== '') return Number(value);
  if (typeof value === 'number' && !BINARY_NUMBERS.has(vr) && vr !== 'DS' && vr !== 'IS')
    return String(value);
  return value;
}

function personName(value: Value): object {
  const [Alphabetic = '', Ideographic = '', Phonetic = ''] = String(value).split('=');
  return { Alphabetic, Ideographic, Phonetic };
}

function isAscii(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte > 0x7f || byte === 0x1b) return false;
  return true;
}

function padded(bytes: Buffer): Buffer {
  return bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.from(' ')]);
}
