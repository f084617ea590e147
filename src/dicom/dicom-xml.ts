/**
 * The Native DICOM Model (PS3.19 A.1) of a data set in the DICOM JSON Model (PS3.18 F), as XML text. Pure.
 * Called by the DICOMweb resources that answer application/dicom+xml.
 */
import { attribute } from './attributes.ts';
import type { DicomJson, DicomJsonElement } from './dicom-json.ts';

const NAMESPACE = 'http://dicom.nema.org/PS3.19/models/NativeDICOM';
/** In the order PS3.5 6.2.1.1 has them between the "^" of a representation. */
const NAME_COMPONENTS = ['FamilyName', 'GivenName', 'MiddleName', 'NamePrefix', 'NameSuffix'] as const;
const REPRESENTATIONS = ['Alphabetic', 'Ideographic', 'Phonetic'] as const;

/** A whole document. Attributes are in ascending order of their tags; values that are absent are empty elements. */
export function dicomXmlText(json: DicomJson): string {
  return (
    '<?xml version="1.0" encoding="UTF-8"?>\n' +
    `<NativeDicomModel xmlns="${NAMESPACE}" xml:space="preserve">${attributesXml(json)}</NativeDicomModel>`
  );
}

function attributesXml(json: DicomJson): string {
  return Object.keys(json)
    .sort()
    .map((tag) => attributeXml(tag, json))
    .join('');
}

function attributeXml(tag: string, json: DicomJson): string {
  const element = json[tag]!;
  const named = isPrivate(tag) ? privateName(tag, json) : [tag, keywordOf(tag)];
  const [shownTag, name] = named;
  const open = `<DicomAttribute${name && isPrivate(tag) ? ` privateCreator="${escaped(name)}"` : ''} tag="${shownTag}" vr="${element.vr}"${name && !isPrivate(tag) ? ` keyword="${name}"` : ''}`;
  const content = contentXml(element);
  return content === '' ? `${open}/>` : `${open}>${content}</DicomAttribute>`;
}

function contentXml({ vr, Value, InlineBinary, BulkDataURI }: DicomJsonElement): string {
  if (BulkDataURI !== undefined) return `<BulkData uri="${escaped(BulkDataURI)}"/>`;
  if (InlineBinary !== undefined) return `<InlineBinary>${InlineBinary}</InlineBinary>`;
  return (Value ?? []).map((value, index) => valueXml(vr, value, index + 1)).join('');
}

function valueXml(vr: string, value: unknown, number: number): string {
  if (vr === 'SQ') return `<Item number="${number}">${attributesXml((value ?? {}) as DicomJson)}</Item>`;
  if (vr === 'PN')
    return `<PersonName number="${number}">${nameXml((value ?? {}) as Record<string, string>)}</PersonName>`;
  const text = value === null || value === undefined ? '' : escaped(String(value));
  return text === '' ? `<Value number="${number}"/>` : `<Value number="${number}">${text}</Value>`;
}

function nameXml(name: Record<string, string>): string {
  return REPRESENTATIONS.map((representation) => {
    const text = name[representation];
    if (text === undefined) return '';
    const components = text.split('^').slice(0, NAME_COMPONENTS.length);
    const inner = components
      .map((component, index) =>
        component === ''
          ? ''
          : `<${NAME_COMPONENTS[index]}>${escaped(component)}</${NAME_COMPONENTS[index]}>`,
      )
      .join('');
    return `<${representation}>${inner}</${representation}>`;
  }).join('');
}

function keywordOf(tag: string): string | undefined {
  return attribute(tag)?.keyword;
}

const isPrivate = (tag: string): boolean => Number.parseInt(tag.slice(3, 4), 16) % 2 === 1;

/** A private data element goes by its creator, and by a tag with zeros for its block (PS3.19 Table A.1.5-2). */
function privateName(tag: string, json: DicomJson): [string, string | undefined] {
  if (tag.slice(4, 6) === '00') return [tag, undefined];
  const creator = json[`${tag.slice(0, 4)}00${tag.slice(4, 6)}`]?.Value?.[0];
  if (typeof creator !== 'string') return [tag, undefined];
  return [`${tag.slice(0, 4)}00${tag.slice(6)}`, creator];
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** Characters that XML 1.0 cannot hold (2.2) are left out: form feeds and escapes of a text, halves of a pair. */
function escaped(text: string): string {
  return text
    .toWellFormed()
    .replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '')
    .replace(/\r/g, '&#13;')
    .replace(/[&<>"](?!#13;)/g, (character) => ENTITIES[character]!);
}
