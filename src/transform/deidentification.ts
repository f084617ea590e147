/**
 * De-identifies one data set: walks it with all it holds, and does to each attribute what the table and the options of
 * the rule say, to those of no row what their VR says. Made by de-identify.ts, one per object.
 */
import { type Attribute, attribute } from '../dicom/attributes.ts';
import { setDummy } from './dummy-value.ts';
import type { EditableDataSet, EditableElement } from './editable-data-set.ts';
import { type Cleaner, type FreeText, normal } from './free-text.ts';
import { NamesOfPatient } from './names-of-patient.ts';
import { type PatientPseudonym, replacedUid, shiftedDate } from './pseudonym.ts';
import {
  creatorOf,
  keepCharacteristics,
  type PrivateFate,
  type SafePrivate,
  saidOfBlocks,
} from './safe-private.ts';
import { pointsToPlaces, type StructuredContent } from './structured-content.ts';

export type Fate = 'remove' | 'empty' | 'dummy' | 'uid' | 'keep' | 'shift' | 'into';

export interface Rule {
  readonly fate: Fate;
  /** Kept when its text is one of the known descriptors. */
  readonly descriptor: boolean;
  /** When the date in it is none. */
  readonly basic: Fate;
}

/** What a rule of the router asks for, the same for all objects. */
export interface Policy {
  readonly key: string;
  readonly rules: ReadonlyMap<string, Rule>;
  /** In the form of `normal`. */
  readonly descriptors: ReadonlySet<string>;
  /** Dates and times of attributes that have no row. */
  readonly dates: 'dummy' | 'keep' | 'shift';
  readonly keepsUids: boolean;
  readonly safePrivate?: SafePrivate | undefined;
  readonly content?: StructuredContent | undefined;
  /** Annotations keep their shapes; texts that may stay, in the form of `normal`. */
  readonly graphics?: { readonly freeText: FreeText; readonly texts: ReadonlySet<string> } | undefined;
}

/** UIDs of the Standard itself identify nobody. */
const STANDARD_ROOT = '1.2.840.10008.';
/** Frames of reference and colour palettes of the Standard (PS3.6 A); else some put their own objects below its root. */
const WELL_KNOWN = /^1\.2\.840\.10008\.1\.[45]\.\d+(\.\d+)?$/;
const OF_INSTANCES = /(SOPInstance|StudyInstance|SeriesInstance|FrameOfReference)UID/;
const GRAPHIC_ANNOTATIONS = '00700001';
const PRIVATE_CHARACTERISTICS = '00080300';
/** Kinds, counts and references to attributes. */
const STRUCTURAL = new Set(['CS', 'US', 'SS', 'UL', 'SL', 'AT']);
/** UIDs of what is published, not of what was made of a patient. */
const VOCABULARY = /SOPClass|TransferSyntax|CodingScheme|Context|MappingResource|CreatorVersion|Template/;
const BINARY = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'UN']);
/** Of private values that are looked through for names: longer ones are no text. */
const MAX_TEXT_BYTES = 65_536;
/** Prose, and addresses, which have UIDs in them. */
const PROSE = new Set(['LT', 'ST', 'UC', 'UR', 'UT']);
const PROSE_KEYWORDS = /AlternativeCalendar|Comment|Notes$|InstructionText/;
/** Names of codes and of things that are published. */
const NO_PROSE =
  /^(ExtendedCodeMeaning|LongCodeValue|URNCodeValue|CodingScheme(Name|ExternalID|URL)|MappingResource|EXIFVersion)|ColumnNames$/;

export class Deidentification implements Cleaner {
  readonly #policy: Policy;
  readonly #patient: PatientPseudonym;
  readonly #names: NamesOfPatient;
  readonly #root: EditableDataSet;
  readonly #said: ReturnType<typeof saidOfBlocks>;
  readonly #itemsMayGo: boolean;
  /** Private blocks of which something stayed: group and creator. */
  readonly #blocks = new Set<string>();

  constructor(policy: Policy, patient: PatientPseudonym, root: EditableDataSet) {
    this.#policy = policy;
    this.#patient = patient;
    this.#root = root;
    this.#names = new NamesOfPatient(root);
    this.#said = saidOfBlocks(root);
    this.#itemsMayGo = !pointsToPlaces(root);
  }

  run(): void {
    this.#into(this.#root);
    keepCharacteristics(this.#root, this.#blocks);
  }

  namesPatient(text: string): boolean {
    return this.#names.in(text);
  }

  judges(tag: string, element: EditableElement): boolean {
    return (
      isPrivate(tag) ||
      isAlwaysRemoved(tag, element) ||
      this.#policy.rules.has(tag) ||
      this.#policy.content?.takes(tag) === true
    );
  }

  #into(dataSet: EditableDataSet): void {
    const privates = this.#policy.safePrivate?.fates(dataSet, this.#said);
    for (const [tag, element] of [...dataSet.elements]) {
      if (isPrivate(tag)) this.#private(dataSet, tag, element, privates?.get(tag));
      else this.element(dataSet, tag, element);
    }
  }

  element(dataSet: EditableDataSet, tag: string, element: EditableElement): void {
    // The word of the object on its private blocks is needed to the end.
    if (tag === PRIVATE_CHARACTERISTICS && dataSet === this.#root) return;
    if (isPrivate(tag) || isAlwaysRemoved(tag, element)) {
      dataSet.remove(tag);
      return;
    }
    const { content, graphics, rules } = this.#policy;
    const rule = rules.get(tag);
    if (element.items && content?.takes(tag)) content.clean(dataSet, tag, this, this.#itemsMayGo);
    else if (element.items && graphics && tag === GRAPHIC_ANNOTATIONS) {
      const allowed = (text: string): boolean => graphics.texts.has(normal(text));
      for (const item of element.items) graphics.freeText.clean(item, this, allowed);
    } else if (!rule) this.#unlisted(dataSet, tag, element);
    else if (rule.descriptor && !element.items && this.#isKnownDescriptor(dataSet, tag)) return;
    else if (rule.fate === 'shift') this.#shift(dataSet, tag, element, rule.basic);
    else this.#do(rule.fate, dataSet, tag, element);
  }

  #do(fate: Fate, dataSet: EditableDataSet, tag: string, element: EditableElement): void {
    if (fate === 'remove') dataSet.remove(tag);
    else if (fate === 'empty') dataSet.empty(tag, element.vr);
    else if (fate === 'shift') this.#shift(dataSet, tag, element, 'dummy');
    else if (element.items) {
      // Kept ones are cleaned one by one (PS3.15 E.1.1, action K of sequences); of others the form alone stays.
      for (const item of element.items)
        if (fate === 'dummy') this.dummies(item);
        else this.#into(item);
    } else if (fate === 'uid' || (fate === 'dummy' && element.vr === 'UI')) this.#uids(dataSet, tag);
    else if (fate === 'dummy') setDummy(dataSet, tag, element.vr);
  }

  /** New attributes, and those of which the table does not think: by VR (PS3.15 E.1.1, note 4). */
  #unlisted(dataSet: EditableDataSet, tag: string, element: EditableElement): void {
    const { vr, items } = element;
    const { keyword = '', vr: meant = vr } = attribute(tag) ?? {};
    // Prose that somebody wrote under another VR is prose all the same.
    const is = (...some: string[]): boolean => some.includes(vr) || some.includes(meant);
    const isProse = is(...PROSE);
    if (items) for (const item of items) this.#into(item);
    else if (is('UI')) {
      if (!this.#policy.keepsUids && !VOCABULARY.test(keyword)) this.#uids(dataSet, tag);
    } else if (is('DA', 'DT', 'TM')) this.#do(this.#policy.dates, dataSet, tag, element);
    else if (is('PN')) setDummy(dataSet, tag, vr);
    else if ((isProse && !NO_PROSE.test(keyword)) || (is('LO') && PROSE_KEYWORDS.test(keyword))) {
      if (!this.#isKnownDescriptor(dataSet, tag)) setDummy(dataSet, tag, vr);
    } else if (is('LO', 'SH') || isProse) {
      if (dataSet.texts(tag)?.some((text) => this.#names.in(text))) setDummy(dataSet, tag, vr);
    }
  }

  #private(
    dataSet: EditableDataSet,
    tag: string,
    element: EditableElement,
    fate: PrivateFate | undefined,
  ): void {
    const { vr, items, value, fragments } = element;
    const isLost = fragments || (fate?.kind === 'sequence' && !items) || beginsWithItem(value);
    const isText = value.length <= MAX_TEXT_BYTES;
    if (!fate || isLost || (isText && this.#names.in(Buffer.from(value).toString('latin1')))) {
      dataSet.remove(tag);
      return;
    }
    const isUid = vr === 'UI' || fate.kind === 'uid';
    if (fate.action === 'empty') dataSet.empty(tag, vr);
    else if (items) for (const item of items) this.#into(item);
    else if (isUid || fate.action === 'uid') {
      if (!this.#policy.keepsUids) this.#uids(dataSet, tag);
    } else if (fate.action === 'dummy' || vr === 'PN') setDummy(dataSet, tag, vr);
    else if (vr === 'DA' || vr === 'DT' || vr === 'TM') this.#do(this.#policy.dates, dataSet, tag, element);
    else if (isText && dataSet.texts(tag)?.some((text) => this.#names.in(text))) setDummy(dataSet, tag, vr);
    const creatorTag = creatorOf(tag);
    if (creatorTag) this.#blocks.add(`${tag.slice(0, 4)} ${dataSet.text(creatorTag)}`);
  }

  /**
   * An item whose every value is a dummy, those of no row of the table too: the prose, codes and measurements of a report
   * stand in attributes that elsewhere say nothing. Coded strings stay, because they tell what kind of item it is.
   */
  dummies(dataSet: EditableDataSet): void {
    for (const [tag, element] of [...dataSet.elements]) {
      const { vr, items } = element;
      if (isPrivate(tag) || isAlwaysRemoved(tag, element)) dataSet.remove(tag);
      else if (items && this.#policy.content?.takes(tag)) for (const item of items) this.dummies(item);
      else if (this.#policy.rules.has(tag)) this.element(dataSet, tag, element);
      else if (items) for (const item of items) this.dummies(item);
      else if (vr === 'UI') this.#uids(dataSet, tag);
      else if (vr === 'FL' || vr === 'FD') dataSet.setBytes(tag, vr, Buffer.alloc(element.value.length));
      else if (!STRUCTURAL.has(vr)) setDummy(dataSet, tag, vr);
    }
  }

  #uids(dataSet: EditableDataSet, tag: string): void {
    const isOfInstances = OF_INSTANCES.test(attribute(tag)?.keyword ?? '');
    const replaced = (dataSet.texts(tag) ?? []).map((text) => {
      const uid = text.replaceAll('\0', '').trim();
      const isStandard = isOfInstances ? WELL_KNOWN.test(uid) : uid.startsWith(STANDARD_ROOT);
      return uid === '' || isStandard ? uid : replacedUid(this.#policy.key, uid);
    });
    dataSet.set(tag, 'UI', replaced);
  }

  /** Times of day stay: the shift is by whole days. What is no real date is treated as without the option. */
  #shift(dataSet: EditableDataSet, tag: string, element: EditableElement, basic: Fate): void {
    const { vr } = element;
    if (element.items) for (const item of element.items) this.#into(item);
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
    return texts.length > 0 && texts.every((text) => this.#policy.descriptors.has(normal(text)));
  }
}

function isPrivate(tag: string): boolean {
  return Number.parseInt(tag.slice(0, 4), 16) % 2 === 1;
}

/**
 * Rows of the table that are groups of tags: curves and overlays, whole, because without their data what describes them
 * is no use and has labels; and what nobody can judge: attributes that are not in the dictionary, sequences written as
 * unknown bytes, data that somebody else has encrypted.
 */
function isAlwaysRemoved(tag: string, { vr }: EditableElement): boolean {
  const group = Number.parseInt(tag.slice(0, 4), 16);
  if (group < 0x0008) return true;
  const repeating = tag.slice(0, 2);
  if (repeating === '50' || repeating === '60') return true;
  // Variable Pixel Data (PS3.5-2004 7.6): a picture that nobody looks at.
  if (repeating === '7F' && !tag.startsWith('7FE0')) return true;
  if (tag === '04000500' || tag === PRIVATE_CHARACTERISTICS) return true;
  const known = attribute(tag);
  // Text that is written as bytes is text all the same.
  return known === undefined || (known.vr === 'SQ' && vr !== 'SQ') || (BINARY.has(vr) && !mayBeBinary(known));
}

function mayBeBinary({ vr, orVr = [] }: Attribute): boolean {
  return BINARY.has(vr) || orVr.some((one) => BINARY.has(one));
}

/** A sequence that Implicit VR left as bytes. */
function beginsWithItem(value: Uint8Array): boolean {
  return (
    value.length >= 8 && value[0] === 0xfe && value[1] === 0xff && value[2] === 0x00 && value[3] === 0xe0
  );
}
