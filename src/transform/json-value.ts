/**
 * The value of one element of the DICOM JSON Model (PS3.18 F.2.3 to F.2.7) as bytes, little endian and padded
 * (PS3.5 6.2). Called by from-dicom-json.ts for everything but sequences and bulk data.
 */
import { label } from '../dicom/attributes.ts';
import type { DicomJsonElement } from '../dicom/dicom-json.ts';
import { Failure } from '../failure.ts';

interface ValueBytes {
  readonly bytes: Buffer;
  readonly beyondAscii: boolean;
  /** A DS of more digits than fit was rounded. */
  readonly rounded: boolean;
}

/** What a value of each VR takes, and how it is written. */
const NUMBERS: Readonly<
  Record<string, { size: number; least: number; most: number; write: (to: Buffer, value: number) => void }>
> = {
  US: { size: 2, least: 0, most: 0xffff, write: (to, value) => to.writeUInt16LE(value) },
  SS: { size: 2, least: -0x8000, most: 0x7fff, write: (to, value) => to.writeInt16LE(value) },
  UL: { size: 4, least: 0, most: 0xffffffff, write: (to, value) => to.writeUInt32LE(value) },
  SL: { size: 4, least: -0x80000000, most: 0x7fffffff, write: (to, value) => to.writeInt32LE(value) },
};
const BINARY = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'UN']);
/** One value, in which a backslash is a character like others (PS3.5 6.2). */
const SINGLE_TEXT = new Set(['LT', 'ST', 'UT', 'UR']);
/** Those that (0008,0005) SpecificCharacterSet is for (PS3.5 6.1.2.2). */
const IN_CHARACTER_SET = new Set(['LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UT']);
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const NAME_GROUPS = ['Alphabetic', 'Ideographic', 'Phonetic'] as const;
const MOST_DS = 16;
const NUL = 0;
const SPACE = 0x20;

/** @throws Failure 'invalid' naming the attribute */
export function binaryValue(tag: string, vr: string, given: DicomJsonElement): ValueBytes {
  const fault = (what: string): Failure =>
    new Failure('invalid', `${label(tag)} ${what}`, { attribute: label(tag) });
  if (given.InlineBinary !== undefined || BINARY.has(vr)) {
    const { InlineBinary = '' } = given;
    if (given.Value !== undefined && given.Value.length > 0)
      throw fault(`has a Value, where its VR ${vr} takes InlineBinary or BulkDataURI (PS3.18 F.2.7)`);
    if (typeof InlineBinary !== 'string' || !BASE64.test(InlineBinary))
      throw fault('has an InlineBinary that is no base64');
    return plain(padded(Buffer.from(InlineBinary, 'base64'), NUL));
  }
  const values: readonly unknown[] = given.Value ?? [];
  if (values.length === 0) return plain(Buffer.alloc(0));

  const numbers = NUMBERS[vr];
  if (numbers)
    return plain(
      Buffer.concat(
        values.map((value) => {
          const { size, least, most, write } = numbers;
          if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
            throw fault(`has a value that is no number of its VR ${vr}`);
          const bytes = Buffer.alloc(size);
          write(bytes, value);
          return bytes;
        }),
      ),
    );
  if (vr === 'FL' || vr === 'FD') return plain(Buffer.concat(values.map((value) => float(vr, value, fault))));
  if (vr === 'SV' || vr === 'UV')
    return plain(Buffer.concat(values.map((value) => integer64(vr, value, fault))));
  if (vr === 'AT')
    return plain(
      Buffer.concat(
        values.map((value) => {
          if (typeof value !== 'string' || !/^[0-9A-Fa-f]{8}$/.test(value))
            throw fault('has a value that is no tag of eight hex digits');
          const bytes = Buffer.alloc(4);
          bytes.writeUInt16LE(Number.parseInt(value.slice(0, 4), 16), 0);
          bytes.writeUInt16LE(Number.parseInt(value.slice(4), 16), 2);
          return bytes;
        }),
      ),
    );

  if (SINGLE_TEXT.has(vr) && values.length > 1) throw fault(`has several values, where its VR ${vr} has one`);
  let rounded = false;
  const texts = values.map((value) => {
    if (value === null) return '';
    if (vr === 'PN') return personName(value, fault);
    if (vr === 'DS' || vr === 'IS') {
      const written = decimal(vr, value, fault);
      rounded ||= written.rounded;
      return written.text;
    }
    if (typeof value !== 'string') throw fault(`has a value that is no text, as its VR ${vr} wants`);
    if (!SINGLE_TEXT.has(vr) && value.includes('\\')) throw fault('has a value with a backslash');
    return value;
  });
  const text = texts.join('\\');
  if (!IN_CHARACTER_SET.has(vr)) {
    // What a writer put there against the Standard came from such bytes, and becomes them again.
    const bytes = Buffer.from(text, 'latin1');
    if (bytes.toString('latin1') !== text)
      throw fault(`has characters that its VR ${vr} cannot have (PS3.5 6.2)`);
    return { bytes: padded(bytes, vr === 'UI' ? NUL : SPACE), beyondAscii: false, rounded };
  }
  const bytes = Buffer.from(text);
  return {
    bytes: padded(bytes, vr === 'UI' ? NUL : SPACE),
    beyondAscii: bytes.length !== text.length,
    rounded,
  };
}

type Fault = (what: string) => Failure;

function personName(value: unknown, fault: Fault): string {
  if (typeof value !== 'object' || value === null)
    throw fault('has a value that is no object of Alphabetic, Ideographic and Phonetic (PS3.18 F.2.2)');
  const name = value as Record<string, unknown>;
  const groups = NAME_GROUPS.map((group) => {
    const text = name[group] ?? '';
    if (typeof text !== 'string' || /[\\=]/.test(text)) throw fault(`has a ${group} that is no name`);
    return text;
  });
  return groups.join('=').replace(/=+$/, '');
}

function decimal(vr: 'DS' | 'IS', value: unknown, fault: Fault): { text: string; rounded: boolean } {
  // A string is allowed, to keep the digits as they were (PS3.18 F.2.3.1).
  if (typeof value === 'string') {
    const form = vr === 'DS' ? /^ *[-+]?(\d+\.?\d*|\.\d+)(E[-+]?\d+)? *$/i : /^ *[-+]?\d{1,11} *$/;
    if (value !== '' && (!form.test(value) || value.length > MOST_DS))
      throw fault(`has a value that is no ${vr}`);
    return { text: value, rounded: false };
  }
  if (typeof value !== 'number' || !Number.isFinite(value)) throw fault(`has a value that is no ${vr}`);
  if (vr === 'IS') {
    if (!Number.isInteger(value) || Math.abs(value) > 2 ** 31) throw fault('has a value that is no IS');
    return { text: String(value), rounded: false };
  }
  const forms = [String(value), value.toExponential()];
  for (let digits = 16; digits > 0; digits--)
    forms.push(String(Number(value.toPrecision(digits))), value.toExponential(digits - 1));
  const text = forms.map((form) => form.replace('e+', 'e')).find((form) => form.length <= MOST_DS) ?? '0';
  return { text, rounded: Number(text) !== value };
}

function float(vr: 'FL' | 'FD', value: unknown, fault: Fault): Buffer {
  const number =
    typeof value === 'string' && /^(NaN|-?(Infinity|inf))$/.test(value)
      ? Number(value.replace(/inf$/, 'Infinity'))
      : value;
  if (typeof number !== 'number') throw fault(`has a value that is no number, as its VR ${vr} wants`);
  const bytes = Buffer.alloc(vr === 'FL' ? 4 : 8);
  if (vr === 'FL') bytes.writeFloatLE(number);
  else bytes.writeDoubleLE(number);
  return bytes;
}

function integer64(vr: 'SV' | 'UV', value: unknown, fault: Fault): Buffer {
  const isNumber =
    typeof value === 'number'
      ? Number.isSafeInteger(value)
      : typeof value === 'string' && /^-?\d{1,20}$/.test(value);
  const number = isNumber ? BigInt(value as number | string) : undefined;
  const fits =
    number !== undefined && (vr === 'SV' ? BigInt.asIntN(64, number) : BigInt.asUintN(64, number)) === number;
  if (number === undefined || !fits) throw fault(`has a value that is no number of its VR ${vr}`);
  const bytes = Buffer.alloc(8);
  if (vr === 'SV') bytes.writeBigInt64LE(number);
  else bytes.writeBigUInt64LE(number);
  return bytes;
}

function plain(bytes: Buffer): ValueBytes {
  return { bytes, beyondAscii: false, rounded: false };
}

function padded(bytes: Buffer, pad: number): Buffer {
  return bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.from([pad])]);
}
