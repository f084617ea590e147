/**
 * De-identification by the Basic Application Level Confidentiality Profile and its options (PS3.15 E.1 to E.3), nested
 * data sets included. Where the table leaves the choice by the attribute's type in its IOD, the one that is valid for
 * every type is taken: a dummy before a zero length, a zero length before removal.
 * Compiled by transform.ts; the table is confidentiality-table.ts, the walk is deidentification.ts.
 */
import { attribute } from '../dicom/attributes.ts';
import { Failure } from '../failure.ts';
import { burnedInRisk, MayShowText } from './burned-in.ts';
import { CONFIDENTIALITY_TABLE, type ConfidentialityRow } from './confidentiality-table.ts';
import { Deidentification, type Fate, type Policy, type Rule } from './deidentification.ts';
import { dicomCode } from './derivation.ts';
import type { Edit } from './edit-attributes.ts';
import type { EditableDataSet } from './editable-data-set.ts';
import { FreeText, normal } from './free-text.ts';
import { patientPseudonym } from './pseudonym.ts';
import { type PrivateElements, SafePrivate } from './safe-private.ts';
import { type ContentSettings, StructuredContent } from './structured-content.ts';

export const RETAIN_OPTIONS = [
  'uids',
  'device',
  'institution',
  'patient',
  'full-dates',
  'modified-dates',
  'safe-private',
] as const;
export type RetainOption = (typeof RETAIN_OPTIONS)[number];

export interface DeidentifySettings {
  readonly retain: readonly RetainOption[];
  /** Clean Descriptors: texts that may stay, because a person has read them; all others go. */
  readonly descriptors?: readonly string[] | undefined;
  /** Of Retain Safe Private: what a site knows to be safe, beside Table E.3.10-1 and the object's own word. */
  readonly privateElements?: readonly PrivateElements[] | undefined;
  /** Clean Structured Content. */
  readonly content?: ContentSettings | undefined;
  /** Clean Graphics: annotations keep their shapes, and of their texts those listed. */
  readonly graphics?: { readonly texts?: readonly string[] | undefined } | undefined;
  /** What becomes of objects that may show text which names the patient, where no mask is drawn. */
  readonly burnedIn: 'hold' | 'send';
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

/** Otherwise than in the table, for objects that stay valid. */
const OTHERWISE: Readonly<Record<string, Fate>> = {
  // X/Z, and optional wherever it stands: with no item it would break PS3.3 C.7.2.1, where without it nothing does.
  ReferencedStudySequence: 'remove',
  // X, and of type 1 in a presentation state (PS3.3 C.11.10).
  PresentationCreationDate: 'dummy',
  PresentationCreationTime: 'dummy',
};

type Method = RetainOption | 'basic' | 'pixels' | 'faces' | 'graphics' | 'content' | 'descriptors';

/** PS3.15 E.1.1, the codes of CID 7050. */
const METHODS: Readonly<Record<Method, readonly [string, string]>> = {
  basic: ['113100', 'Basic Application Confidentiality Profile'],
  pixels: ['113101', 'Clean Pixel Data Option'],
  faces: ['113102', 'Clean Recognizable Visual Features Option'],
  graphics: ['113103', 'Clean Graphics Option'],
  content: ['113104', 'Clean Structured Content Option'],
  descriptors: ['113105', 'Clean Descriptors Option'],
  'full-dates': ['113106', 'Retain Longitudinal Temporal Information Full Dates Option'],
  'modified-dates': ['113107', 'Retain Longitudinal Temporal Information Modified Dates Option'],
  patient: ['113108', 'Retain Patient Characteristics Option'],
  device: ['113109', 'Retain Device Identity Option'],
  uids: ['113110', 'Retain UIDs Option'],
  'safe-private': ['113111', 'Retain Safe Private Option'],
  institution: ['113112', 'Retain Institution Identity Option'],
};

const PATIENT_NAME = '00100010';
const PATIENT_ID = '00100020';
const ISSUER = '00100021';
const STUDY_UID = '0020000D';
const METHOD_CODES = '00120064';

/** @throws Failure 'invalid' for options that contradict each other */
export function compileDeidentify(settings: DeidentifySettings, key: string | undefined): Edit {
  const retained = new Set(settings.retain);
  if (retained.has('full-dates') && retained.has('modified-dates'))
    throw new Failure('invalid', 'full-dates and modified-dates exclude each other (PS3.15 E.3.6)');
  const policy = policyOf(settings, retained);
  return (dataSet, { isMasked, isReleased, unfollowed }) => {
    if (key === undefined)
      throw new Failure('invalid', 'de-identification needs the setting DEIDENTIFY_KEY, and it is not set');
    const risk =
      settings.burnedIn === 'hold' && !isReleased
        ? burnedInRisk(dataSet, { ...settings, isMasked, unfollowed })
        : undefined;
    if (risk !== undefined)
      throw new MayShowText(
        'conflict',
        `it may show text that names the patient, and a person has to look: ${risk}`,
      );
    const id = dataSet.text(PATIENT_ID);
    const identity = id === '' ? `study\0${dataSet.text(STUDY_UID)}` : `${dataSet.text(ISSUER)}\0${id}`;
    const patient = patientPseudonym(key, identity);
    new Deidentification({ ...policy, key }, patient, dataSet).run();
    dataSet.set(PATIENT_ID, 'LO', [patient.id]);
    dataSet.set(PATIENT_NAME, 'PN', [patient.id]);
    sayWhatWasDone(dataSet, settings, retained);
  };
}

function policyOf(settings: DeidentifySettings, retained: ReadonlySet<RetainOption>): Omit<Policy, 'key'> {
  const { privateElements, content, graphics, descriptors = [] } = settings;
  if (privateElements && !retained.has('safe-private'))
    throw new Failure('invalid', 'privateElements are kept with safe-private among retain, and not without');
  return {
    rules: new Map(CONFIDENTIALITY_TABLE.map((row) => [attribute(row.keyword)!.tag, ruleFor(row, retained)])),
    descriptors: new Set(descriptors.map(normal)),
    dates: retained.has('full-dates') ? 'keep' : retained.has('modified-dates') ? 'shift' : 'dummy',
    keepsUids: retained.has('uids'),
    safePrivate: retained.has('safe-private') ? new SafePrivate(privateElements) : undefined,
    content: content && new StructuredContent(content, descriptors, retained),
    graphics: graphics && {
      freeText: new FreeText(),
      texts: new Set([...(graphics.texts ?? []), ...descriptors].map(normal)),
    },
  };
}

function ruleFor({ keyword, basic, options }: ConfidentialityRow, retained: ReadonlySet<RetainOption>): Rule {
  const fate = OTHERWISE[keyword] ?? BASIC[basic];
  const descriptor = options.includes('desc~');
  // A date that another option would keep as it is is shifted all the same: one true date undoes the shift.
  if (options.includes('dates') && retained.has('modified-dates'))
    return { fate: 'shift', descriptor, basic: fate };
  const keeps =
    (options.includes('dates') && retained.has('full-dates')) ||
    options.some((word) => retained.has(word as RetainOption));
  return { fate: keeps ? 'keep' : fate, descriptor, basic: fate };
}

/** (0012,0062) to (0012,0064) and (0028,0303) (PS3.15 E.1.1, E.3.6). */
function sayWhatWasDone(
  dataSet: EditableDataSet,
  settings: DeidentifySettings,
  retained: ReadonlySet<RetainOption>,
): void {
  // Of what others did before only this is still true.
  const before = new Set(dataSet.items(METHOD_CODES).map((item) => item.text('00080100')));
  const done: Method[] = [
    'basic',
    ...(['pixels', 'faces'] as const).filter((method) => before.has(METHODS[method][0])),
    ...(['graphics', 'content', 'descriptors'] as const).filter((option) => settings[option]),
    ...RETAIN_OPTIONS.filter((option) => retained.has(option)),
  ];
  dataSet.set('00120062', 'CS', ['YES']);
  dataSet.set('00120063', 'LO', ['PS3.15 Table E.1-1 (2024e)']);
  dataSet.setItems(
    METHOD_CODES,
    done.map((method) => dicomCode(dataSet, ...METHODS[method])),
  );
  const dates = retained.has('full-dates')
    ? 'UNMODIFIED'
    : retained.has('modified-dates')
      ? 'MODIFIED'
      : 'REMOVED';
  dataSet.set('00280303', 'CS', [dates]);
}
