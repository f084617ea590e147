/**
 * De-identification by the Basic Application Level Confidentiality Profile and its options (PS3.15 E.1 to E.3), nested
 * data sets included. Where the table leaves the choice by the attribute's type in its IOD, the one that is valid for
 * every type is taken: a dummy before a zero length, a zero length before removal.
 * Compiled by transform.ts; the table is confidentiality-table.ts.
 */
import { attribute } from '../dicom/attributes.ts';
import { Failure } from '../failure.ts';
import { burnedInRisk, MayShowText } from './burned-in.ts';
import { CONFIDENTIALITY_TABLE, type ConfidentialityRow } from './confidentiality-table.ts';
import type { Edit } from './edit-attributes.ts';
import type { EditableDataSet, EditableElement } from './editable-data-set.ts';
import { type PatientPseudonym, patientPseudonym, replacedUid, shiftedDate } from './pseudonym.ts';

export const RETAIN_OPTIONS = [
  'uids',
  'device',
  'institution',
  'patient',
  'full-dates',
  'modified-dates',
] as const;
export type RetainOption = (typeof RETAIN_OPTIONS)[number];

export interface DeidentifySettings {
  readonly retain: readonly RetainOption[];
  /** Clean Descriptors: texts that may stay, because a person has read them; all others go. */
  readonly descriptors?: readonly string[] | undefined;
  /** What becomes of objects that may show text which names the patient, where no mask is drawn. */
  readonly burnedIn: 'hold' | 'send';
}

type Fate = 'remove' | 'empty' | 'dummy' | 'uid' | 'keep' | 'shift' | 'into';
interface Rule {
  readonly fate: Fate;
  /** Kept when its text is one of the known descriptors. */
  readonly descriptor: boolean;
  /** When the date in it is none. */
  readonly basic: Fate;
}

const BASIC: Readonly<Record<ConfidentialityRow['basic'], Fate>> = {
  X: 'remove',
  Z: 'empty',
  D: 'dummy',
  U: 'uid',
  'X/Z': 'empty',
  'X/D': 'dummy',
  'Z/D': 'dummy',
  'X/Z/D': 'dummy',
  // The sequence stays for the UIDs in it, which are replaced.
  'X/Z/U*': 'into',
};

/** X/Z, and optional wherever it stands: with no item it would break PS3.3 C.7.2.1, where without it nothing does. */
const NOT_EMPTY = new Set(['ReferencedStudySequence']);

/** PS3.15 E.1.1 with the Coding Schemes of CID 7050. */
const METHODS: Readonly<Record<RetainOption | 'basic' | 'descriptors', readonly [string, string]>> = {
  basic: ['113100', 'Basic Application Confidentiality Profile'],
  descriptors: ['113105', 'Clean Descriptors Option'],
  'full-dates': ['113106', 'Retain Longitudinal Temporal Information Full Dates Option'],
  'modified-dates': ['113107', 'Retain Longitudinal Temporal Information Modified Dates Option'],
  patient: ['113108', 'Retain Patient Characteristics Option'],
  device: ['113109', 'Retain Device Identity Option'],
  uids: ['113110', 'Retain UIDs Option'],
  institution: ['113112', 'Retain Institution Identity Option'],
};

const PATIENT_NAME = '00100010';
const PATIENT_ID = '00100020';
const ISSUER = '00100021';
const STUDY_UID = '0020000D';
/** UIDs of the Standard itself identify nobody. */
const STANDARD_ROOT = '1.2.840.10008.';

/** @throws Failure 'invalid' for options that contradict each other */
export function compileDeidentify(settings: DeidentifySettings, key: string | undefined): Edit {
  const retained = new Set(settings.retain);
  if (retained.has('full-dates') && retained.has('modified-dates'))
    throw new Failure('invalid', 'full-dates and modified-dates exclude each other (PS3.15 E.3.6)');
  const rules = new Map(
    CONFIDENTIALITY_TABLE.map((row) => [attribute(row.keyword)!.tag, ruleFor(row, retained)]),
  );
  const descriptors = new Set(settings.descriptors?.map(normal) ?? []);
  return (dataSet, { isLookedAt }) => {
    if (key === undefined)
      throw new Failure('invalid', 'de-identification needs the setting DEIDENTIFY_KEY, and it is not set');
    const risk = settings.burnedIn === 'hold' && !isLookedAt ? burnedInRisk(dataSet) : undefined;
    if (risk !== undefined)
      throw new MayShowText(
        'conflict',
        `it may show text that names the patient, and a person has to look: ${risk}`,
      );
    const id = dataSet.text(PATIENT_ID);
    const identity = id === '' ? `study\0${dataSet.text(STUDY_UID)}` : `${dataSet.text(ISSUER)}\0${id}`;
    const patient = patientPseudonym(key, identity);
    new Deidentification(rules, descriptors, key, patient).run(dataSet);
    dataSet.set(PATIENT_ID, 'LO', [patient.id]);
    dataSet.set(PATIENT_NAME, 'PN', [patient.id]);
    sayWhatWasDone(dataSet, settings, retained);
  };
}

function ruleFor({ keyword, basic, options }: ConfidentialityRow, retained: ReadonlySet<RetainOption>): Rule {
  const fate = NOT_EMPTY.has(keyword) ? 'remove' : BASIC[basic];
  const descriptor = options.includes('desc~');
  // A date that another option would keep as it is is shifted all the same: one true date undoes the shift.
  if (options.includes('dates') && retained.has('modified-dates'))
    return { fate: 'shift', descriptor, basic: fate };
  const keeps =
    (options.includes('dates') && retained.has('full-dates')) ||
    options.some((word) => retained.has(word as RetainOption));
  return { fate: keeps ? 'keep' : fate, descriptor, basic: fate };
}

class Deidentification {
  readonly #rules: ReadonlyMap<string, Rule>;
  readonly #descriptors: ReadonlySet<string>;
  readonly #key: string;
  readonly #patient: PatientPseudonym;

  constructor(
    rules: ReadonlyMap<string, Rule>,
    descriptors: ReadonlySet<string>,
    key: string,
    patient: PatientPseudonym,
  ) {
    this.#rules = rules;
    this.#descriptors = descriptors;
    this.#key = key;
    this.#patient = patient;
  }

  run(dataSet: EditableDataSet): void {
    for (const [tag, element] of [...dataSet.elements]) this.#element(dataSet, tag, element);
  }

  #element(dataSet: EditableDataSet, tag: string, element: EditableElement): void {
    if (isAlwaysRemoved(tag, element)) {
      dataSet.remove(tag);
      return;
    }
    const rule = this.#rules.get(tag);
    if (rule?.descriptor && !element.items && this.#isKnownDescriptor(dataSet, tag)) return;
    if (!rule) this.#into(element);
    else if (rule.fate === 'shift') this.#shift(dataSet, tag, element, rule.basic);
    else this.#do(rule.fate, dataSet, tag, element);
  }

  #do(fate: Fate, dataSet: EditableDataSet, tag: string, element: EditableElement): void {
    if (fate === 'remove') dataSet.remove(tag);
    else if (fate === 'empty') dataSet.empty(tag, element.vr);
    else if (element.items) {
      // Kept ones are cleaned one by one (PS3.15 E.1.1, action K of sequences); of others the form alone stays.
      if (fate === 'dummy') for (const item of element.items) this.#dummies(item);
      else this.#into(element);
    } else if (fate === 'uid' || (fate === 'dummy' && element.vr === 'UI')) this.#uids(dataSet, tag);
    else if (fate === 'dummy') dummy(dataSet, tag, element.vr);
  }

  #into({ items = [] }: EditableElement): void {
    for (const item of items) this.run(item);
  }

  /**
   * An item whose every value is a dummy, those of no row of the table too: the prose, codes and measurements of a report
   * stand in attributes that elsewhere say nothing. Coded strings stay, because they tell what kind of item it is.
   */
  #dummies(dataSet: EditableDataSet): void {
    for (const [tag, element] of [...dataSet.elements]) {
      if (isAlwaysRemoved(tag, element) || this.#rules.has(tag)) this.#element(dataSet, tag, element);
      else if (element.items) for (const item of element.items) this.#dummies(item);
      else if (element.vr === 'UI') this.#uids(dataSet, tag);
      else if (element.vr === 'FL' || element.vr === 'FD')
        dataSet.setBytes(tag, element.vr, Buffer.alloc(element.value.length));
      else if (!STRUCTURAL.has(element.vr)) dummy(dataSet, tag, element.vr);
    }
  }

  #uids(dataSet: EditableDataSet, tag: string): void {
    const uids = dataSet.texts(tag) ?? [];
    const replaced = uids.map((uid) =>
      uid === '' || uid.startsWith(STANDARD_ROOT)
        ? uid
        : replacedUid(this.#key, uid.replaceAll('\0', '').trim()),
    );
    dataSet.set(tag, 'UI', replaced);
  }

  /** Times of day stay: the shift is by whole days. What is no real date is treated as without the option. */
  #shift(dataSet: EditableDataSet, tag: string, element: EditableElement, basic: Fate): void {
    const { vr } = element;
    if (element.items) this.#into(element);
    else if (vr === 'DA' || vr === 'DT') {
      const shifted = (dataSet.texts(tag) ?? []).map((date) =>
        date === '' ? '' : shiftedDate(date, this.#patient.days),
      );
      if (shifted.every((date) => date !== undefined)) dataSet.set(tag, vr, shifted);
      else this.#do(basic, dataSet, tag, element);
    } else if (vr !== 'TM') this.#do(basic, dataSet, tag, element);
  }

  #isKnownDescriptor(dataSet: EditableDataSet, tag: string): boolean {
    const texts = dataSet.texts(tag) ?? [];
    return texts.length > 0 && texts.every((text) => this.#descriptors.has(normal(text)));
  }
}

/**
 * Rows of the table that are groups of tags: private attributes, curves, overlays' data and comments; and what nobody can
 * judge: attributes that are not in the dictionary, sequences written as unknown bytes.
 */
function isAlwaysRemoved(tag: string, { vr }: EditableElement): boolean {
  const group = Number.parseInt(tag.slice(0, 4), 16);
  if (group % 2 === 1 || group < 0x0008) return true;
  const repeating = tag.slice(0, 2);
  if (repeating === '50') return true;
  if (repeating === '60' && (tag.endsWith('3000') || tag.endsWith('4000'))) return true;
  const known = attribute(tag);
  return known === undefined || (known.vr === 'SQ' && vr !== 'SQ');
}

const DUMMY_TEXTS: Readonly<Record<string, string>> = {
  DA: '19000101',
  DT: '19000101000000',
  TM: '000000',
  AS: '000Y',
  DS: '0',
  IS: '0',
  PN: 'ANONYMIZED',
  AE: 'ANONYMIZED',
  UR: 'http://anonymized.invalid',
};
const NUMBER_BYTES: Readonly<Record<string, number>> = {
  US: 2,
  SS: 2,
  UL: 4,
  SL: 4,
  FL: 4,
  FD: 8,
  SV: 8,
  UV: 8,
  AT: 4,
};
const TEXTS = new Set(['CS', 'LO', 'LT', 'SH', 'ST', 'UC', 'UT']);

/** Kinds, counts and references to attributes. */
const STRUCTURAL = new Set(['CS', 'US', 'SS', 'UL', 'SL', 'AT']);

function dummy(dataSet: EditableDataSet, tag: string, vr: string): void {
  const text = DUMMY_TEXTS[vr] ?? (TEXTS.has(vr) ? 'ANONYMIZED' : undefined);
  if (text !== undefined) dataSet.set(tag, vr, [text]);
  else dataSet.setBytes(tag, vr, Buffer.alloc(NUMBER_BYTES[vr] ?? 2));
}

/** (0012,0062) to (0012,0064) and (0028,0303) (PS3.15 E.1.1, E.3.6). */
function sayWhatWasDone(
  dataSet: EditableDataSet,
  settings: DeidentifySettings,
  retained: ReadonlySet<RetainOption>,
): void {
  const done = [
    METHODS.basic,
    ...(settings.descriptors ? [METHODS.descriptors] : []),
    ...RETAIN_OPTIONS.filter((option) => retained.has(option)).map((option) => METHODS[option]),
  ];
  dataSet.set('00120062', 'CS', ['YES']);
  dataSet.set('00120063', 'LO', ['PS3.15 Table E.1-1 (2024e)']);
  dataSet.setItems(
    '00120064',
    done.map(([code, meaning]) => {
      const item = dataSet.newItem();
      item.set('00080100', 'SH', [code]);
      item.set('00080102', 'SH', ['DCM']);
      item.set('00080104', 'LO', [meaning]);
      return item;
    }),
  );
  const dates = retained.has('full-dates')
    ? 'UNMODIFIED'
    : retained.has('modified-dates')
      ? 'MODIFIED'
      : 'REMOVED';
  dataSet.set('00280303', 'CS', [dates]);
}

const normal = (text: string): string => text.trim().replace(/\s+/g, ' ').toUpperCase();
