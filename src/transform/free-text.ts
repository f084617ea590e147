/**
 * Cleans text, codes and names inside a sequence whose shape stays: content items of a report, annotations of a
 * presentation state. Numbers, coded strings and public codes stay; text stays where somebody has allowed it.
 * Called by structured-content.ts, and by deidentification.ts for graphics; what else stands there goes back to that.
 */
import { setDummy } from './dummy-value.ts';
import type { EditableDataSet, EditableElement } from './editable-data-set.ts';

/** What of deidentification.ts is asked for inside. */
export interface Cleaner {
  /** It has a row of the table, or never stays. */
  judges(tag: string, element: EditableElement): boolean;
  element(dataSet: EditableDataSet, tag: string, element: EditableElement): void;
  /** Every value of the item becomes a dummy, its shape stays. */
  dummies(item: EditableDataSet): void;
  namesPatient(text: string): boolean;
}

/** Whether a text may stay as it is. */
export type Allowed = (text: string) => boolean;

/** By VR, which is the same everywhere: UIDs, dates and names. */
const BY_VR = new Set(['UI', 'DA', 'DT', 'TM', 'PN']);
const TEXTS = new Set(['AE', 'LO', 'LT', 'SH', 'ST', 'UC', 'UR', 'UT']);

const SCHEME = '00080102';
const SCHEME_VERSION = '00080103';
const MEANING = '00080104';
const CODE_VALUES = ['00080100', '00080119', '00080120'];
const OF_CODES = new Set([...CODE_VALUES, SCHEME, SCHEME_VERSION, MEANING]);

/**
 * Coding schemes that are published (PS3.16 section 8), so a code of theirs says nothing of a site or a person. Private
 * ones begin with 99.
 */
const PUBLIC_SCHEMES = new Set(
  `ACR ACR-NEMA ASTM-SIGPURPOSE BARI BI BRLEX C4 C5 CD2 CD4 COID CTV3 DC DCM DCMUID DNPI FMA HCPCS HI HL7V3 HPC HPO I9 I9C
   I10 I10C I10P I11 IBSI ICD10 ICDO3 IEC ISO3166_1 ISO639_1 ISO639_2 ITIS_TSN JC8 JJ1017 LANG LN LNC MA MAYOASRG MDC
   MDNS MGI MSH NCIT NDC NDFRT NEU NICIP NYUMCCG NPI OMIM PATHLEX PUBCHEM_CID RADELEMENT RADLEX RFC3066 RFC5646 RO RXNORM
   SCT SDM SNM3 SRT TA UBERON UCUM UMLS UNS UNSPSC V3`.split(/\s+/),
);

export class FreeText {
  readonly #schemes: ReadonlySet<string>;

  /** @param schemes of codes that stay beside the public ones */
  constructor(schemes: readonly string[] = []) {
    this.#schemes = new Set(schemes.map((scheme) => scheme.trim().toUpperCase()));
  }

  clean(dataSet: EditableDataSet, cleaner: Cleaner, allowed: Allowed): void {
    const isCode = CODE_VALUES.some((tag) => dataSet.elements.has(tag));
    for (const [tag, element] of [...dataSet.elements]) {
      if (isCode && OF_CODES.has(tag)) continue;
      if (cleaner.judges(tag, element) || BY_VR.has(element.vr)) cleaner.element(dataSet, tag, element);
      else if (element.items) for (const item of element.items) this.clean(item, cleaner, allowed);
      else if (TEXTS.has(element.vr)) {
        const texts = dataSet.texts(tag) ?? [];
        const stays = texts.every((text) => text === '' || (allowed(text) && !cleaner.namesPatient(text)));
        if (!stays) setDummy(dataSet, tag, element.vr);
      }
    }
    if (isCode) this.#code(dataSet, cleaner);
  }

  #code(code: EditableDataSet, cleaner: Cleaner): void {
    const scheme = code.text(SCHEME).toUpperCase();
    const isPublic = PUBLIC_SCHEMES.has(scheme) || /^NCDR\b/.test(scheme) || this.#schemes.has(scheme);
    if (!isPublic) {
      for (const tag of [...CODE_VALUES, MEANING]) {
        const element = code.elements.get(tag);
        if (element) setDummy(code, tag, element.vr);
      }
      if (code.elements.has(SCHEME)) code.set(SCHEME, 'SH', ['99ANON']);
      code.remove(SCHEME_VERSION);
    } else if (cleaner.namesPatient(code.text(MEANING))) setDummy(code, MEANING, 'LO');
  }
}

/** Texts are compared without regard to case and spaces. */
export function normal(text: string): string {
  return text.trim().replace(/\s+/g, ' ').toUpperCase();
}
