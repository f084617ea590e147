/**
 * What is burned into a picture when `annotation` asks for it (PS3.18 8.3.5.1.1): who it is of, and how it was taken.
 * Called by picture.ts. Pure.
 */
import { type DataSet, number, text } from '../dicom/data-set.ts';

export type Annotation = 'patient' | 'technique';
export const ANNOTATIONS: readonly Annotation[] = ['patient', 'technique'];

const LONGEST_LINE = 80;

/** @param frame counted from 1 */
export function annotationLines(header: DataSet, frame: number, which: readonly Annotation[]): string[] {
  const lines = which.flatMap((one) => (one === 'patient' ? patient(header) : technique(header, frame)));
  return lines.filter((line) => line !== '').map((line) => line.slice(0, LONGEST_LINE));
}

function patient(header: DataSet): string[] {
  // Alphabetic, ideographic and phonetic groups, each "family^given^middle^prefix^suffix" (PS3.5 6.2.1).
  const name = (text(header, '00100010') ?? '')
    .split('=')
    .map((group) => group.split('^').filter(Boolean).join(' '))
    .filter(Boolean)
    .join(' / ');
  const born = date(text(header, '00100030'));
  const sex = text(header, '00100040') ?? '';
  return [name, text(header, '00100020') ?? '', [born && `* ${born}`, sex].filter(Boolean).join('  ')];
}

function technique(header: DataSet, frame: number): string[] {
  const value = (tag: string, name: string, unit: string): string => {
    const found = number(header, tag);
    return found === undefined ? '' : `${name} ${found} ${unit}`;
  };
  const taken = [text(header, '00080060') ?? '', date(text(header, '00080020'))];
  const numbers = [text(header, '00200011'), text(header, '00200013')].map((one) => one ?? '');
  return [
    [...taken, text(header, '00081030') ?? ''].filter(Boolean).join('  '),
    [`Se ${numbers[0]}`, `Im ${numbers[1]}`, (number(header, '00280008') ?? 1) > 1 ? `Fr ${frame}` : '']
      .filter((one) => / ./.test(one))
      .join('  '),
    text(header, '0008103E') ?? '',
    [value('00180060', 'kVp', ''), value('00181151', '', 'mA'), value('00180050', 'SL', 'mm')]
      .map((one) => one.trim())
      .filter(Boolean)
      .join('  '),
    [value('00180080', 'TR', 'ms'), value('00180081', 'TE', 'ms')].filter(Boolean).join('  '),
  ];
}

function date(value: string | undefined): string {
  const [, year, month, day] = /^(\d{4})(\d{2})(\d{2})$/.exec(value ?? '') ?? [];
  return year ? `${year}-${month}-${day}` : '';
}
