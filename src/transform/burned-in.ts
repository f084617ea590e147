/**
 * Whether what is seen of an object may name the patient, whatever its attributes say: text burned into the pixels, a
 * document, the prose of a report. Asked by de-identify.ts, which lets no such object leave by itself.
 */
import { label } from '../dicom/attributes.ts';
import { Failure } from '../failure.ts';
import type { EditableDataSet } from './editable-data-set.ts';

/** Until a person has looked and lets it go. */
export class MayShowText extends Failure {}

/** Storage SOP classes (PS3.4 B.5) by the start of their UIDs. */
const RISKY: readonly (readonly [string, string])[] = [
  ['1.2.840.10008.5.1.4.1.1.3', 'ultrasound'],
  ['1.2.840.10008.5.1.4.1.1.6', 'ultrasound'],
  ['1.2.840.10008.5.1.4.1.1.7', 'a secondary capture'],
  ['1.2.840.10008.5.1.4.1.1.12', 'an X-Ray angiogram or fluoroscopy'],
  ['1.2.840.10008.5.1.4.1.1.77.1', 'a picture in visible light'],
];
/** Nothing in them says that they are clean. */
const REPORT = ['1.2.840.10008.5.1.4.1.1.88', 'a structured report'] as const;
const DOCUMENT = ['1.2.840.10008.5.1.4.1.1.104', 'a document'] as const;

const SOP_CLASS = '00080016';
const IMAGE_TYPE = '00080008';
const BURNED_IN_ANNOTATION = '00280301';

/**
 * @param cleaned what is cleaned at the same time: `content` is that of a report, `isMasked` the text in the pixels;
 *                `unfollowed` are pixels that pass as they are, with whatever else is in them
 * @returns why a person has to look, if so: a sentence without patient data
 */
export function burnedInRisk(
  dataSet: EditableDataSet,
  cleaned: { content?: unknown; isMasked: boolean; unfollowed?: string | undefined },
): string | undefined {
  const sopClass = dataSet.text(SOP_CLASS);
  const is = ([start]: readonly [string, string]): boolean =>
    sopClass === start || sopClass.startsWith(`${start}.`);
  const text = (cleaned.content ? [DOCUMENT] : [REPORT, DOCUMENT]).find(is);
  if (text) return `it is ${text[1]}, whose text is not cleaned`;
  const overlay = overlayInPixels(dataSet);
  if (overlay !== undefined) return `its overlay ${label(overlay)} lies among the bits of the pixels`;
  if (cleaned.unfollowed !== undefined)
    return `its pixels are ${cleaned.unfollowed}, in which more may be written than is seen`;
  if (cleaned.isMasked) return undefined;
  const said = dataSet.text(BURNED_IN_ANNOTATION).toUpperCase();
  if (said === 'YES') return `its ${label(BURNED_IN_ANNOTATION)} is YES`;
  if (said === 'NO') return undefined;
  const risky = RISKY.find(is);
  if (risky) return `it is ${risky[1]}, and no ${label(BURNED_IN_ANNOTATION)} says that it is without text`;
  const screen = dataSet.texts(IMAGE_TYPE)?.some((one) => /SCREEN|CAPTURE|SECONDARY/i.test(one));
  return screen
    ? `its ${label(IMAGE_TYPE)} says that it is a picture of a screen or a derived one`
    : undefined;
}

/** An overlay without data of its own (PS3.3 C.9.2, retired): to remove its group leaves what it shows. */
function overlayInPixels(dataSet: EditableDataSet): string | undefined {
  return [...dataSet.elements.keys()].find(
    (tag) => /^60..0010$/.test(tag) && !dataSet.elements.has(`${tag.slice(0, 4)}3000`),
  );
}
