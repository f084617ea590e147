/**
 * The DICOM JSON Model (PS3.18 Annex F) back into a data set in Explicit VR Little Endian (PS3.5 A.2).
 * Called by dicomweb/stow-json.ts for each instance of a metadata request; bulk data stays out of it: each stands as
 * a piece with its URI, whose header is written when its length is known.
 */
import { attribute, label } from '../dicom/attributes.ts';
import type { DicomJson, DicomJsonElement } from '../dicom/dicom-json.ts';
import {
  ITEM,
  ITEM_DELIMITATION,
  isKnownVr,
  isLongForm,
  MAX_DEPTH,
  SEQUENCE_DELIMITATION,
  tagNumber,
  UNDEFINED_LENGTH,
  vrCode,
} from '../dicom/element-header.ts';
import { Failure } from '../failure.ts';
import { ElementWriter } from './element-writer.ts';
import { binaryValue } from './json-value.ts';

/** Where bulk data is to stand. */
export interface BulkPiece {
  readonly tag: string;
  readonly vr: string;
  readonly uri: string;
  readonly atRoot: boolean;
}

export interface WrittenDataSet {
  /** In the order of the data set. */
  readonly pieces: readonly (Buffer | BulkPiece)[];
  /** Decimal strings with more digits than their 16 characters hold were rounded. */
  readonly rounded: boolean;
}

const SPECIFIC_CHARACTER_SET = '00080005';
const TAG = /^[0-9A-F]{8}$/;

/**
 * Group lengths, Command and File Meta groups are left out; text is written as UTF-8, and says so (ISO_IR 192) where
 * it did before or needs to.
 * @throws Failure 'invalid' naming the attribute that is no JSON of its VR
 */
export function fromDicomJson(json: DicomJson): WrittenDataSet {
  const tags = tagsOf(json);
  const behind = new DataSetWriter();
  for (const [tag, key] of tags) if (tag > SPECIFIC_CHARACTER_SET) behind.element(tag, json[key], undefined);
  const before = new DataSetWriter();
  for (const [tag, key] of tags) if (tag < SPECIFIC_CHARACTER_SET) before.element(tag, json[key], undefined);
  if (tags.has(SPECIFIC_CHARACTER_SET) || behind.beyondAscii || before.beyondAscii) before.characterSet();
  return { pieces: [...before.take(), ...behind.take()], rounded: behind.rounded };
}

class DataSetWriter {
  readonly #writer = new ElementWriter();
  readonly #pieces: (Buffer | BulkPiece)[] = [];
  beyondAscii = false;
  rounded = false;

  take(): (Buffer | BulkPiece)[] {
    this.#gather();
    return this.#pieces;
  }

  characterSet(): void {
    this.#writer.header(tagNumber(SPECIFIC_CHARACTER_SET), vrCode('CS'), 10);
    this.#writer.value(Buffer.from('ISO_IR 192'));
  }

  /** @param depth of the item it stands in; undefined at the root */
  element(tag: string, given: DicomJsonElement | undefined, depth: number | undefined): void {
    if (typeof given !== 'object' || given === null) throw fault(tag, 'is no JSON object (PS3.18 F.2.2)');
    const { vr = attribute(tag)?.vr } = given;
    if (typeof vr !== 'string' || !/^[A-Z]{2}$/.test(vr) || !isKnownVr(vrCode(vr)))
      throw fault(tag, 'names no value representation in "vr" (PS3.18 F.2.2)');
    const forms = [given.Value, given.InlineBinary, given.BulkDataURI].filter((form) => form !== undefined);
    if (forms.length > 1)
      throw fault(tag, 'has more than one of Value, InlineBinary and BulkDataURI (PS3.18 F.2.2)');
    if (given.BulkDataURI !== undefined) {
      if (typeof given.BulkDataURI !== 'string' || vr === 'SQ')
        throw fault(tag, 'has a BulkDataURI that is no text, or stands for a sequence');
      this.#gather();
      this.#pieces.push({ tag, vr, uri: given.BulkDataURI, atRoot: depth === undefined });
      return;
    }
    if (given.Value !== undefined && !Array.isArray(given.Value))
      throw fault(tag, 'has a Value that is no array (PS3.18 F.2.2)');
    if (vr === 'SQ') {
      this.#sequence(tag, given, (depth ?? 0) + 1);
      return;
    }
    const { bytes, beyondAscii, rounded } = binaryValue(tag, vr, given);
    this.beyondAscii ||= beyondAscii;
    this.rounded ||= rounded;
    if (!isLongForm(vrCode(vr), 0) && bytes.length > 0xffff)
      throw fault(tag, `is longer than its value representation ${vr} can say (PS3.5 7.1.2)`);
    this.#writer.header(tagNumber(tag), vrCode(vr), bytes.length);
    this.#writer.value(bytes);
  }

  #sequence(tag: string, { Value = [], InlineBinary }: DicomJsonElement, depth: number): void {
    if (InlineBinary !== undefined) throw fault(tag, 'is a sequence with InlineBinary');
    if (depth > MAX_DEPTH) throw fault(tag, `is nested more than ${MAX_DEPTH} deep`);
    this.#writer.header(tagNumber(tag), vrCode('SQ'), UNDEFINED_LENGTH);
    for (const item of Value) {
      if (typeof item !== 'object' || Array.isArray(item))
        throw fault(tag, 'has an item that is no JSON object');
      // An empty item may be written as null (PS3.18 F.2.5).
      const json = (item ?? {}) as DicomJson;
      this.#writer.header(ITEM, 0, UNDEFINED_LENGTH);
      for (const [inner, key] of tagsOf(json))
        if (inner === SPECIFIC_CHARACTER_SET) this.characterSet();
        else this.element(inner, json[key], depth);
      this.#writer.header(ITEM_DELIMITATION, 0, 0);
    }
    this.#writer.header(SEQUENCE_DELIMITATION, 0, 0);
  }

  #gather(): void {
    const parts = this.#writer.take();
    if (parts.length > 0) this.#pieces.push(Buffer.concat(parts));
  }
}

/** In ascending order, each with the name it has in the JSON. */
function tagsOf(json: DicomJson): Map<string, string> {
  const tags: [string, string][] = [];
  for (const key of Object.keys(json)) {
    const tag = key.toUpperCase();
    if (!TAG.test(tag) || tag.startsWith('FFFE'))
      throw new Failure(
        'invalid',
        'The metadata has a name that is no tag of eight hex digits (PS3.18 F.2.2)',
      );
    const isLeftOut = tag.startsWith('0000') || tag.startsWith('0002') || tag.endsWith('0000');
    if (!isLeftOut) tags.push([tag, key]);
  }
  return new Map(tags.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function fault(tag: string, what: string): Failure {
  return new Failure('invalid', `${label(tag)} ${what}`, { attribute: label(tag) });
}
