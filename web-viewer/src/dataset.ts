/**
 * Reads values out of the DICOM JSON Model (PS3.18 Annex F) that DICOMweb answers with.
 * Called by everything that turns an answer into words or numbers; it never throws on odd data,
 * because one strange attribute must not hide a study.
 */

export interface Element {
  vr?: string;
  Value?: readonly unknown[];
  InlineBinary?: string;
  BulkDataURI?: string;
}

/** One data set: elements by their eight hexadecimal digits, upper case. */
export type Dataset = Readonly<Record<string, Element | undefined>>;

/** All values as trimmed text; empty values stay, so that positions keep their meaning. */
export function texts(dataset: Dataset, tag: string): string[] {
  return (dataset[tag]?.Value ?? []).map((value) =>
    typeof value === 'string' || typeof value === 'number' ? String(value).trim() : '',
  );
}

export function text(dataset: Dataset, tag: string): string {
  return texts(dataset, tag)[0] ?? '';
}

/** All values as numbers, or undefined when one of them is none (DS and IS may come as strings). */
export function numbers(dataset: Dataset, tag: string): number[] | undefined {
  const values = (dataset[tag]?.Value ?? []).map((value) =>
    value === null || value === '' ? NaN : Number(value),
  );
  return values.length > 0 && values.every(Number.isFinite) ? values : undefined;
}

export function number(dataset: Dataset, tag: string): number | undefined {
  return numbers(dataset, tag)?.[0];
}

/** The items of a sequence. */
export function items(dataset: Dataset, tag: string): Dataset[] {
  return (dataset[tag]?.Value ?? []).filter(
    (item): item is Dataset => typeof item === 'object' && item !== null,
  );
}

/** The groups of a Person Name; a server may send a bare string instead of the object. */
export function personName(dataset: Dataset, tag: string): { alphabetic: string; ideographic: string } {
  const value = dataset[tag]?.Value?.[0];
  if (typeof value === 'string') {
    const [alphabetic = '', ideographic = ''] = value.split('=');
    return { alphabetic, ideographic };
  }
  const groups: Record<string, unknown> = typeof value === 'object' && value !== null ? { ...value } : {};
  return {
    alphabetic: typeof groups.Alphabetic === 'string' ? groups.Alphabetic : '',
    ideographic: typeof groups.Ideographic === 'string' ? groups.Ideographic : '',
  };
}
