/**
 * PS3.15 Table E.3.10-1 (edition 2026d): private attributes that their makers say hold nothing of the patient.
 * Transcribed by private creator and group; read by safe-private.ts.
 */

/** What they are where the transfer syntax does not say: s a sequence, u UIDs, o opaque bytes; all else is a value. */
export type PrivateKind = 'value' | 'sequence' | 'uid' | 'opaque';

export interface SafePrivateRow {
  readonly creator: string;
  /** Four hex digits. */
  readonly group: string;
  /** The last two hex digits of the element, within the creator's block. */
  readonly element: string;
  readonly kind: PrivateKind;
}

const BRAIN_VOLUMES = '01-16';

/** Private creator, group, elements. */
const ROWS: readonly (readonly [string, string, string])[] = [
  ['Philips PET Private Group', '7053', '00 09'],
  ['ELSCINT1', '00E1', '21 50'],
  ['ELSCINT1', '01E1', '26'],
  ['ELSCINT1', '01F1', '01 07 26 27'],
  ['GEMS_ACQU_01', '0019', '23 24 27 9E'],
  ['GEMS_PARM_01', '0043', '27 39 6F'],
  ['GEMS_HELIOS_01', '0045', '01 02'],
  ['GEMS_SERS_01', '0025', '07'],
  ['GEIIS PACS', '0903', '10-12'],
  [
    'Philips Imaging DD 001',
    '2001',
    `01-0C 0E-1F 21-51 53-5A 5D 5E 5Fs 60-64 65s 66s 67 68s 69s 6As 6Bs 6D 6E 6Fs 71 72 73s 74-77 79s 7A-7C 7Do
     7E-8C 90-94 9As 9B 9D 9F A1-A5 C0-C3 C5s C6s C7s CAs CB D0-DF E9s F1-F7 F9s FBs FCs FDs FFo`,
  ],
  [
    'Philips Imaging DD 002',
    '2001',
    `01-39 3As 3Bs 3Cs 3Ds 3E-40 50 52 53 57s 58s 5A 5C-5E 5Fs 63 64s 65-68 6B 71-75`,
  ],
  [
    'Philips Imaging DD 097',
    '2001',
    `01s 02-04 05s 06s 07 08s 0As 0Bs 0D 0Es 0F 12s 17-1F 21-28 2A-2D 2Es 2Fo 30-32 36-3B 3Cs 3D 3Es 40 41 42s
     44-46 47o 49s 4Ao 4B 4C A1-A6 A8 A9s AA AB`,
  ],
  ['Philips Imaging DD 129', '2001', '00s 01s 02s 03 04s 05-09'],
  ['Philips MR Imaging DD 001', '2005', '0D 0E'],
  ['Philips ST80i', '0025', '01o'],
  ['SIEMENS MR HEADER', '0019', '0C-0E 27'],
  ['HOLOGIC, Inc.', '7E01', '01 02 10s 11s 12o'],
  ['NQHeader', '0099', '01u 02u 04 05 10 20 21'],
  ['NQLeft', '0199', BRAIN_VOLUMES],
  ['NQRight', '0299', BRAIN_VOLUMES],
  ['SIEMENS Ultrasound SC2000', '0119', '00 01o 02s 03s 04o 05-09 10-13 21'],
  ['SIEMENS Ultrasound SC2000', '0129', '00s 02u 03-05 06s 07u 08o 09s 10o 11s 12u 20s 21o 22o 29o 30'],
  ['SIEMENS Ultrasound SC2000', '0139', '01'],
  ['SIEMENS Ultrasound SC2000', '0149', '01-03'],
  ['SIEMENS Ultrasound SC2000', '7FD1', '01o 09u 10o 11o'],
  ['SIEMENS SYNGO ULTRA-SOUND TOYON DATA STREAMING', '7FD1', '01o 09u 10o 11o'],
];

const KINDS: Readonly<Record<string, PrivateKind>> = { s: 'sequence', u: 'uid', o: 'opaque' };

export const SAFE_PRIVATE_TABLE: readonly SafePrivateRow[] = ROWS.flatMap(([creator, group, elements]) =>
  elements.split(/\s+/).flatMap((range) => {
    const kind = KINDS[range.at(-1)!] ?? 'value';
    const [from = '', to = from] = range.replace(/[suo]$/, '').split('-');
    const first = Number.parseInt(from, 16);
    return Array.from({ length: Number.parseInt(to, 16) - first + 1 }, (_, index) => ({
      creator,
      group,
      element: (first + index).toString(16).toUpperCase().padStart(2, '0'),
      kind,
    }));
  }),
);
