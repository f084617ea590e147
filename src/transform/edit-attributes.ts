/**
 * The edits a rule can make on the way out: set, remove, prefix and map attributes, and give the patient another
 * identity. Compiled by transform.ts once per form; a fault in the rule is found then and not while sending.
 */
import { attribute, attributePath, label } from '../dicom/attributes.ts';
import { FLOAT_PIXEL_DATA, tagNumber } from '../dicom/element-header.ts';
import { type PrivateTag, pathParts, placesOf, privateTag } from '../dicom/private-tag.ts';
import { Failure } from '../failure.ts';
import { type EditableDataSet, encodeValues, type Value } from './editable-data-set.ts';
import { formFault, lengthFault } from './value-form.ts';

/** What is known of the object beside its header. */
export interface Circumstances {
  /** A rule's mask is drawn on its pixels. */
  readonly isMasked: boolean;
  /** A person has looked at it and lets it go. */
  readonly isReleased: boolean;
  /** The transfer syntax of compressed pixels that may say more than they show, where nobody looks for it. */
  readonly unfollowed: string | undefined;
}

export type Edit = (dataSet: EditableDataSet, circumstances: Circumstances) => void;

export type Values = Value | readonly Value[];

export interface Identity {
  readonly id: string;
  readonly issuer?: string | undefined;
  readonly name?: string | undefined;
  readonly birthDate?: string | undefined;
  readonly sex?: string | undefined;
}

export interface PatientSettings {
  /** By the Patient ID as it is stored. */
  readonly table?: Readonly<Record<string, Identity>> | undefined;
  /** Before the ID of a patient whom the table does not name. */
  readonly prefix?: string | undefined;
  /** Replaces the issuer of a patient whom the table does not name. */
  readonly issuer?: string | undefined;
  /** What becomes of the objects of a patient whom the table does not name. */
  readonly otherwise: 'send' | 'refuse';
}

const PATIENT_ID = '00100020';
const ISSUER = '00100021';
const ISSUER_QUALIFIERS = '00100024';
const TEXT_VRS = new Set(['AE', 'CS', 'LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UT']);

/**
 * They say which object this is, how its text is written and how its pixels lie: another value would make it another
 * object under a known UID, or one that cannot be read. UIDs are changed by de-identification, all of them at once.
 */
const FIXED = new Set([
  '00080005',
  '00080016',
  '00080018',
  '0020000D',
  '0020000E',
  '00280002',
  '00280004',
  '00280006',
  '00280008',
  '00280010',
  '00280011',
  '00280100',
  '00280101',
  '00280102',
  '00280103',
]);

/** @throws Failure 'invalid' when the path leads to nothing, or to what no rule may change */
function pathOf(text: string): string[] {
  const tags = attributePath(text);
  if (!tags)
    throw new Failure(
      'invalid',
      `"${text}" is no keyword or path of keywords of the data dictionary (PS3.6)`,
    );
  if (FIXED.has(tags[0]!))
    throw new Failure(
      'invalid',
      `${label(tags[0]!)} says which object this is or how it is read, and is not changed`,
    );
  const number = tagNumber(tags[0]!) >>> 0;
  if (number >= FLOAT_PIXEL_DATA >>> 0 || number < 0x00080000 || tags.some((tag) => tag.endsWith('0000')))
    throw new Failure('invalid', `${label(tags[0]!)} is not part of the header that rules change`);
  return tags;
}

/** @throws Failure 'invalid' when it is no attribute of PS3.6 that has a value of its own */
function knownPath(text: string): { path: string[]; vr: string; tag: string } {
  const path = pathOf(text);
  const tag = path.at(-1)!;
  const vr = attribute(tag)?.vr;
  if (vr === undefined || Number.parseInt(tag.slice(0, 4), 16) % 2 === 1)
    throw new Failure(
      'invalid',
      `"${text}" is not in the data dictionary (PS3.6), so its value's form is not known`,
    );
  if (vr === 'SQ') throw new Failure('invalid', `"${text}" is a sequence; name an attribute in its items`);
  return { path, vr, tag };
}

/** @throws Failure 'invalid' naming the attribute, when it cannot be written or has not the form of its VR */
function checkValues(tag: string, vr: string, values: readonly Value[]): void {
  encodeValues(tag, vr, values);
  for (const value of values) {
    const fault = formFault(vr, value);
    if (fault) throw new Failure('invalid', `${label(tag)} ${fault}`);
  }
}

/** Every data set that holds the last attribute of the path: the items of the sequences before it. */
function* holders(dataSet: EditableDataSet, path: readonly string[]): Generator<EditableDataSet> {
  const [first, ...rest] = path;
  if (rest.length === 0) {
    yield dataSet;
    return;
  }
  for (const item of dataSet.items(first!)) yield* holders(item, rest);
}

/** Replaces, or adds; in the items that are there, none are made. */
export function setAttribute(text: string, given: Values): Edit {
  const { path, vr, tag } = knownPath(text);
  const values = typeof given === 'object' ? given : [given];
  checkValues(tag, vr, values);
  return (dataSet) => {
    for (const holder of holders(dataSet, path)) {
      // Of two that the dictionary allows the one that stands there: others of its kind are written so, too.
      const stored = holder.elements.get(tag)?.vr;
      const isOther = stored !== undefined && attribute(tag)?.orVr?.includes(stored);
      holder.set(tag, isOther ? stored : vr, values);
    }
  };
}

/** Attributes, sequences and private elements; "private" stands for all of those, nested too. */
export function removeAttribute(text: string): Edit {
  if (text === 'private') return removePrivate;
  const parts = pathParts(text);
  const own = privateTag(parts.at(-1)!);
  if (own) return removeOwn(own, parts.length === 1 ? [] : pathOf(parts.slice(0, -1).join('.')));
  const path = pathOf(text);
  return (dataSet) => {
    for (const holder of holders(dataSet, path)) holder.remove(path.at(-1)!);
  };
}

/** One private attribute, wherever its creator has its block. */
function removeOwn(own: PrivateTag, within: readonly string[]): Edit {
  return (dataSet) => {
    for (const holder of holders(dataSet, [...within, own.group]))
      for (const tag of placesOf(own, [...holder.elements.keys()], (creator) => holder.text(creator)))
        holder.remove(tag);
  };
}

function removePrivate(dataSet: EditableDataSet): void {
  for (const [tag, { items }] of dataSet.elements) {
    if (Number.parseInt(tag.slice(0, 4), 16) % 2 === 1) dataSet.remove(tag);
    else for (const item of items ?? []) removePrivate(item);
  }
}

/**
 * Before each value that is not empty.
 * @throws (the edit) Failure 'invalid' when the VR has no room for it: a peer would cut it off, and take it for another
 */
export function prefixAttribute(text: string, prefix: string): Edit {
  const { path, vr, tag } = knownPath(text);
  if (!TEXT_VRS.has(vr)) throw new Failure('invalid', `"${text}" is ${vr}, and a prefix goes before text`);
  checkValues(tag, vr, [prefix]);
  return (dataSet) => {
    for (const holder of holders(dataSet, path)) {
      const values = holder.texts(tag);
      if (!values?.some((value) => value !== '')) continue;
      const longer = values.map((value) => (value === '' ? '' : `${prefix}${value}`));
      const fault = longer.map((value) => lengthFault(vr, value)).find(Boolean);
      if (fault) throw new Failure('invalid', `its ${label(tag)} with the rule's prefix ${fault}`);
      holder.set(tag, vr, longer);
    }
  };
}

/** Values by a table; of one that is not in it `otherwise` tells. */
export function mapAttribute(
  text: string,
  table: Readonly<Record<string, Value>>,
  otherwise: 'keep' | 'empty',
): Edit {
  const { path, vr, tag } = knownPath(text);
  const known = new Map(Object.entries(table));
  // Of these each value is checked by itself: they have one.
  for (const value of known.values()) checkValues(tag, vr, [value]);
  return (dataSet) => {
    for (const holder of holders(dataSet, path)) {
      const values = holder.texts(tag);
      if (!values || values.length === 0) continue;
      const mapped = values.map((value) => known.get(value) ?? (otherwise === 'keep' ? value : ''));
      if (mapped.some((value, index) => value !== values[index])) holder.set(tag, vr, mapped);
    }
  };
}

/** @throws (the edit) Failure 'not-found' for a patient whom the table does not name, where the rule refuses those */
export function coercePatient({ table = {}, prefix, issuer, otherwise }: PatientSettings): Edit {
  const known = new Map(Object.entries(table).map(([id, identity]) => [id.trim(), identityEdit(identity)]));
  const others = [
    ...(prefix === undefined ? [] : [prefixAttribute('PatientID', prefix)]),
    ...(issuer === undefined ? [] : [setAttribute('IssuerOfPatientID', issuer)]),
  ];
  return (dataSet, circumstances) => {
    const edit = known.get(dataSet.text(PATIENT_ID));
    if (edit) return edit(dataSet, circumstances);
    if (otherwise === 'refuse')
      throw new Failure('not-found', `its ${label(PATIENT_ID)} is not in the rule's table of patients`);
    if (issuer !== undefined) dataSet.remove(ISSUER_QUALIFIERS);
    for (const other of others) other(dataSet, circumstances);
  };
}

/** The old issuer says nothing of the new ID. */
function identityEdit({ id, issuer, name, birthDate, sex }: Identity): Edit {
  const edits = [
    setAttribute('PatientID', id),
    ...(issuer === undefined ? [] : [setAttribute('IssuerOfPatientID', issuer)]),
    ...(name === undefined ? [] : [setAttribute('PatientName', name)]),
    ...(birthDate === undefined ? [] : [setAttribute('PatientBirthDate', birthDate)]),
    ...(sex === undefined ? [] : [setAttribute('PatientSex', sex)]),
  ];
  return (dataSet, circumstances) => {
    dataSet.remove(ISSUER);
    dataSet.remove(ISSUER_QUALIFIERS);
    for (const edit of edits) edit(dataSet, circumstances);
  };
}
