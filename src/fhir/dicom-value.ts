/**
 * Reads single values out of DICOM JSON (PS3.18 F) as the index keeps it, by keyword.
 * Called by the mapping. What is absent, empty or of another shape reads as undefined or an empty list:
 * the index holds what modalities sent, and one odd attribute must not cost the study its link.
 */
import { attribute } from '../dicom/attributes.ts';

/** One data set, or one item of a sequence. */
export type DataSet = Readonly<Record<string, { readonly vr?: string; readonly Value?: readonly unknown[] }>>;

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that have to go
const CONTROLS = /[\u0000-\u0008\u000B\u000C\u000E-\u001F]/g;

/** The values of an attribute; empty when absent. */
function values(dataSet: DataSet, keyword: string): readonly unknown[] {
  const tag = attribute(keyword)?.tag;
  return (tag === undefined ? undefined : dataSet[tag]?.Value) ?? [];
}

/** The texts of an attribute, trimmed, without empty ones. */
export function texts(dataSet: DataSet, keyword: string): string[] {
  return values(dataSet, keyword)
    .map((value) => (typeof value === 'string' || typeof value === 'number' ? clean(String(value)) : ''))
    .filter((text) => text !== '');
}

/** The first text of an attribute. */
export function text(dataSet: DataSet, keyword: string): string | undefined {
  return texts(dataSet, keyword)[0];
}

/** A number that FHIR's unsignedInt can hold; negative and fractional ones read as absent. */
export function unsigned(value: unknown): number | undefined {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isInteger(number)) return undefined;
  return number >= 0 && number <= 2_147_483_647 ? number : undefined;
}

/** The items of a sequence. */
export function items(dataSet: DataSet, keyword: string): DataSet[] {
  return values(dataSet, keyword).filter(isDataSet);
}

/** Person names (PS3.5 6.2.1) as one reads them aloud: "Dr. Ada M. King, PhD"; ideographic ones family first. */
export function personNames(dataSet: DataSet, keyword: string): string[] {
  return values(dataSet, keyword)
    .map((value) => {
      if (typeof value === 'string') return spoken(value);
      if (!isDataSet(value)) return '';
      const { Alphabetic, Ideographic, Phonetic } = value as Record<string, unknown>;
      if (typeof Alphabetic === 'string') return spoken(Alphabetic);
      const other = Ideographic ?? Phonetic;
      return typeof other === 'string' ? components(other).slice(0, 2).filter(Boolean).join(' ') : '';
    })
    .filter((name) => name !== '');
}

function spoken(name: string): string {
  const [family, given, middle, prefix, suffix] = components(name);
  const words = [prefix, given, middle, family].filter(Boolean).join(' ');
  return [words, suffix].filter(Boolean).join(', ');
}

const components = (name: string): string[] => name.split('^').map(clean);

/** FHIR's string allows no control characters but tab, line feed and carriage return, and no blank ends. */
function clean(raw: string): string {
  return raw.replace(CONTROLS, ' ').trim();
}

function isDataSet(value: unknown): value is DataSet {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
