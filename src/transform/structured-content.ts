/**
 * Clean Structured Content Option (PS3.15 E.3.4): the content of a report, an acquisition context or a specimen's
 * preparation, item by item: by concept where the Standard's table names it, by value type elsewhere. Measurements,
 * coordinates and public codes stay; names, dates, UIDs and text are treated as everywhere, or go.
 * Called by deidentification.ts.
 */
import { CONTENT_ITEM_TABLE, type ContentItemRow } from './content-item-table.ts';
import type { EditableDataSet } from './editable-data-set.ts';
import { type Cleaner, FreeText, normal } from './free-text.ts';

export interface ContentSettings {
  /** Texts that may stay, because a person has read them. */
  readonly texts?: readonly string[] | undefined;
  /** Concepts whose text may stay, as "DCM:121071". */
  readonly concepts?: readonly string[] | undefined;
  /** Of codes that stay, beside the public ones. */
  readonly codingSchemes?: readonly string[] | undefined;
}

const CONTENT = '0040A730';
const CONCEPT_NAME = '0040A043';
const VALUE_TYPE = '0040A040';
const TEXT_VALUE = '0040A160';
const UID_VALUE = '0040A124';
const REFERENCED_CONTENT_ITEM = '0040DB73';
/** Sequences of content items (PS3.3 C.17.3, 10.2), and the title of a report. */
const ROOTS = new Set([CONTENT, '00400555', '00400610', '00400612', CONCEPT_NAME]);

export class StructuredContent {
  readonly #rows: ReadonlyMap<string, ContentItemRow>;
  readonly #retained: ReadonlySet<string>;
  readonly #texts: ReadonlySet<string>;
  readonly #concepts: ReadonlySet<string>;
  readonly #freeText: FreeText;

  /** @param retained the options of the rule; dates as 'full-dates' or 'modified-dates' */
  constructor(settings: ContentSettings, descriptors: readonly string[], retained: ReadonlySet<string>) {
    this.#rows = new Map(
      CONTENT_ITEM_TABLE.map((row) => [`${row.concept.toUpperCase()} ${row.valueType}`, row]),
    );
    this.#retained = retained;
    this.#texts = new Set([...(settings.texts ?? []), ...descriptors].map(normal));
    this.#concepts = new Set((settings.concepts ?? []).map((concept) => concept.trim().toUpperCase()));
    this.#freeText = new FreeText(settings.codingSchemes);
  }

  takes(tag: string): boolean {
    return ROOTS.has(tag);
  }

  /** In place. @param itemsMayGo see pointsToPlaces */
  clean(dataSet: EditableDataSet, tag: string, cleaner: Cleaner, itemsMayGo: boolean): void {
    const left = dataSet.items(tag).filter((item) => this.#item(item, cleaner, itemsMayGo));
    if (left.length > 0) dataSet.setItems(tag, left);
    else if (tag === CONTENT) dataSet.remove(tag);
    else dataSet.empty(tag, 'SQ');
  }

  /** @returns whether it stays */
  #item(item: EditableDataSet, cleaner: Cleaner, canGo: boolean): boolean {
    const concept = conceptOf(item);
    const row = this.#rows.get(`${concept} ${item.text(VALUE_TYPE)}`);
    const isKept = row?.options.some(
      (word) =>
        this.#retained.has(word) ||
        (word === 'dates' && (this.#retained.has('full-dates') || this.#retained.has('modified-dates'))),
    );
    // A text of no row, or of one that is a description, may be among those somebody has read.
    const isDescription = !row || row.options.includes('desc~');
    const mayStay = (text: string): boolean =>
      isKept || (isDescription && (this.#texts.has(normal(text)) || this.#concepts.has(concept)));
    if (row?.basic === 'X' && !isKept && !this.#isAllowedText(item, cleaner, mayStay)) {
      if (canGo) return false;
      cleaner.dummies(item);
      return true;
    }
    const uid = isKept && row?.options.includes('uids') ? item.elements.get(UID_VALUE) : undefined;
    this.#freeText.clean(item, cleaner, mayStay);
    if (uid && this.#retained.has('uids')) item.setBytes(UID_VALUE, uid.vr, uid.value);
    return true;
  }

  #isAllowedText(item: EditableDataSet, cleaner: Cleaner, mayStay: (text: string) => boolean): boolean {
    const text = item.text(TEXT_VALUE);
    return text !== '' && mayStay(text) && !cleaner.namesPatient(text);
  }
}

function conceptOf(item: EditableDataSet): string {
  const [name] = item.items(CONCEPT_NAME);
  return name ? `${name.text('00080102').replaceAll(' ', '')}:${name.text('00080100')}`.toUpperCase() : '';
}

/** Whether the tree refers to items by their place in it (PS3.3 C.17.3.2.5), so that none may go. */
export function pointsToPlaces(item: EditableDataSet): boolean {
  return item.elements.has(REFERENCED_CONTENT_ITEM) || item.items(CONTENT).some(pointsToPlaces);
}
