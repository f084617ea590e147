/**
 * The DICOM JSON Model as PS3.18 Annex F writes it (edition 2025e), as a zod schema, and what a schema cannot say: the
 * order of the properties in the text. Written from the Standard, not from src, so that it can disagree with src.
 */
import { z } from 'zod';

/** PS3.18 F.2.2: eight uppercase hexadecimal digits; no group lengths, no command or file meta groups. */
const Tag = z
  .string()
  .regex(/^[0-9A-F]{8}$/)
  .refine((tag) => !tag.endsWith('0000'), 'a group length')
  .refine((tag) => !tag.startsWith('0000') && !tag.startsWith('0002'), 'no attribute of a data set');

/** RFC 8259 8.1 wants UTF-8, which has no lone surrogates; a NUL is padding (PS3.5 6.2), no part of a value. */
const Text = z
  .string()
  .min(1)
  .refine((text) => text.isWellFormed(), 'text that UTF-8 cannot hold')
  .refine((text) => !text.includes('\0') && !text.includes('\u001b'), 'a NUL or an escape of ISO 2022');
/** Values that may be several are split and not padded at the end. */
const Short = Text.refine((text) => !text.endsWith(' '), 'padding');
const AttributeTag = z.string().regex(/^[0-9A-F]{8}$/);
const Base64 = z.base64().refine((text) => text !== '', 'nothing inline');

const PersonName = z
  .strictObject({
    Alphabetic: Short.optional(),
    Ideographic: Short.optional(),
    Phonetic: Short.optional(),
  })
  .refine((name) => Object.keys(name).length > 0, 'a name without a component group');

const whole = (least: number, most: number) => z.number().int().min(least).max(most);
const DecimalText = z.string().regex(/^ *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)? *$/);
const IntegerText = z.string().regex(/^ *[+-]?\d+ *$/);

/** Table F.2.3-1, the JSON type of one value. */
const VALUES = {
  AE: Short,
  AS: Short,
  AT: AttributeTag,
  CS: Short,
  DA: Short,
  DS: z.union([z.number(), DecimalText]),
  DT: Short,
  FD: z.number(),
  FL: z.number(),
  IS: z.union([z.int(), IntegerText]),
  LO: Short,
  LT: Text,
  PN: PersonName,
  SH: Short,
  SL: whole(-0x80000000, 0x7fffffff),
  SS: whole(-0x8000, 0x7fff),
  ST: Text,
  SV: z.union([z.int(), IntegerText]),
  TM: Short,
  UC: Short,
  UI: Short,
  UL: whole(0, 0xffffffff),
  UR: Short,
  US: whole(0, 0xffff),
  UT: Text,
  UV: z.union([z.int().min(0), IntegerText]),
} as const;
const BINARY = ['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'UN'] as const;
const ONE_VALUE = new Set(['LT', 'ST', 'UR', 'UT']);
/** F.2.2: what may stand behind a BulkDataURI beside the binary ones. */
const BULK = new Set('DS FL FD IS LT SL SS ST SV UC UL US UT UV'.split(' '));

/** At most one of them (F.2.2). */
const isOneOf = (element: object): boolean => Object.keys(element).length <= 2;
const MORE_THAN_ONE = 'more than one of Value, BulkDataURI and InlineBinary';

const valued = Object.entries(VALUES).map(([vr, value]) =>
  z
    .strictObject({
      vr: z.literal(vr),
      // F.2.5: an empty value among several is null; an attribute without a value has no "Value".
      Value: z
        .array(value.nullable())
        .max(ONE_VALUE.has(vr) ? 1 : Number.POSITIVE_INFINITY)
        .refine((all) => all.some((one) => one !== null), 'nothing but empty values')
        .optional(),
      ...(BULK.has(vr) && { BulkDataURI: z.url().optional() }),
    })
    .refine(isOneOf, MORE_THAN_ONE),
);
const binary = BINARY.map((vr) =>
  z
    .strictObject({ vr: z.literal(vr), InlineBinary: Base64.optional(), BulkDataURI: z.url().optional() })
    .refine(isOneOf, MORE_THAN_ONE),
);
const sequence = z.strictObject({
  vr: z.literal('SQ'),
  get Value() {
    return z.array(DataSet).min(1).optional();
  },
});
const Element = z.discriminatedUnion('vr', [sequence, ...binary, ...valued]);

/** One data set of the DICOM JSON Model. */
const DataSet: z.ZodType<Record<string, unknown>> = z.lazy(() => z.record(Tag, Element));

/** What breaks Annex F in the text of a list of data sets, each with its place; empty when nothing does. */
export function faultsOfDicomJson(text: string): string[] {
  const checked = z.array(DataSet).safeParse(JSON.parse(text));
  const faults = checked.error?.issues.map(({ path, message }) => `${path.join('/')}: ${message}`) ?? [];
  return [...faults, ...disorder(text)];
}

/** F.2.2: attributes stand in ascending order. Read from the text: JavaScript reorders names that look like numbers. */
function disorder(text: string): string[] {
  const faults: string[] = [];
  const last: string[] = [];
  for (const [token] of text.matchAll(/[{}]|"(?:[^"\\]|\\.)*"(?:\s*:)?/g)) {
    if (token === '{') last.push('');
    else if (token === '}') last.pop();
    else if (/^"[0-9A-F]{8}"\s*:$/.test(token)) {
      const tag = token.slice(1, 9);
      if (tag <= last.at(-1)!) faults.push(`${tag} stands behind ${last.at(-1)}`);
      last[last.length - 1] = tag;
    }
  }
  return faults;
}
