/**
 * PS3.15 E.3.4, the table of content items by concept name: what becomes of each in a tree of content that is cleaned
 * (Clean Structured Content Option). Transcribed by coding scheme and code; read by structured-content.ts.
 * Items of other concepts are judged by their value type, and by the same care, so a retired or newer code of a concept
 * that stands here is cleaned all the same.
 */
import type { OptionWord } from './confidentiality-table.ts';

export interface ContentItemRow {
  /** "DCM:121022". */
  readonly concept: string;
  readonly valueType: string;
  /** X removes the item with all below it, D leaves it with a dummy. */
  readonly basic: 'X' | 'D';
  readonly options: readonly OptionWord[];
}

/** Value type, basic action (D also where the template decides), options, concepts. */
const GROUPS: readonly (readonly [string, 'X' | 'D', string, string])[] = [
  ['CODE', 'X', 'patient', 'DCM:121032'],
  ['COMPOSITE', 'D', 'uids', 'DCM:112371 DCM:111040 DCM:121002 DCM:128436 DCM:128414 DCM:128444 DCM:128416'],
  [
    'COMPOSITE',
    'X',
    'uids',
    `DCM:121120 SCT:371524004 DCM:122073 DCM:112373 DCM:112372 DCM:112366 DCM:112361 DCM:128425 DCM:122075
     DCM:126100 DCM:112364 DCM:128447 DCM:112353 DCM:112359 DCM:128470 DCM:113701`,
  ],
  ['CONTAINER', 'X', 'device', 'DCM:121000'],
  ['DATE', 'D', 'dates', 'DCM:127857 DCM:111018 DCM:111054 DCM:111060'],
  ['DATE', 'X', '', 'DCM:121031'],
  ['DATE', 'X', 'dates', 'DCM:126201 LN:11955-2 LN:11778-8'],
  [
    'DATETIME',
    'D',
    'dates',
    `DCM:113723 DCM:113810 DCM:122712 NCDR[2.0b]:52 DCM:111469 SCT:398201009 DCM:113809 SCT:397898000 DCM:111526
     DCM:122146 DCM:123003`,
  ],
  [
    'DATETIME',
    'X',
    'dates',
    `NCDR[2.0b]:15 SCT:398164008 SCT:398325003 DCM:121431 DCM:121432 DCM:111527 DCM:122165 DCM:122105 DCM:111536
     DCM:111702 DCM:121125 DCM:111535 DCM:121433 DCM:122163 DCM:122082 DCM:122081 DCM:122701 DCM:123004
     DCM:122173`,
  ],
  [
    'IMAGE',
    'D',
    'uids',
    'DCM:113795 DCM:112229 DCM:121138 DCM:128414 DCM:121214 DCM:121233 DCM:121112 DCM:121191',
  ],
  ['IMAGE', 'X', 'uids', 'DCM:121080 DCM:121342 DCM:125201 DCM:121200 DCM:112354 DCM:128425 DCM:128470'],
  ['NUM', 'X', 'patient', 'DCM:121033'],
  ['PNAME', 'D', '', 'NCDR[2.0b]:76 DCM:113850 DCM:121114 DCM:113870 DCM:121008 DCM:121029'],
  ['PNAME', 'X', '', 'DCM:121088 DCM:121036 DCM:121152 DCM:121435'],
  [
    'TEXT',
    'D',
    '',
    'DCM:112347 DCM:112363 LN:11951-1 DCM:121154 DCM:112352 DCM:112351 DCM:111705 DCM:121124 DCM:121030',
  ],
  [
    'TEXT',
    'D',
    'desc~',
    `SCT:440252007 DCM:113724 SCT:363698007 DCM:111033 LN:18785-6 DCM:113815 DCM:128403 DCM:111058 DCM:122083
     SCT:271921002 DCM:121071 DCM:121065 UMLS:C2348792`,
  ],
  ['TEXT', 'D', 'device', 'DCM:121193 DCM:113832 DCM:113880'],
  [
    'TEXT',
    'X',
    '',
    `DCM:121022 DCM:121021 DCM:125010 DCM:128775 DCM:113605 DCM:110190 DCM:111706 DCM:111724 DCM:113871 DCM:113872
     DCM:128774 DCM:121020 DCM:113516 NCDR[2.0b]:53 DCM:113514 DCM:113511 DCM:113512 DCM:113513 DCM:121121
     DCM:121435 DCM:111700 DCM:121041`,
  ],
  [
    'TEXT',
    'X',
    'desc~',
    `DCM:125203 NCIt:C67447 DCM:112050 DCM:113720 SCT:371524004 DCM:121106 SCT:116224001 DCM:121077 DCM:111021
     DCM:121145 LN:11329-0 DCM:113012 LN:18118-0 DCM:111516 DCM:121110 DCM:128426 DCM:109054 DCM:121173
     DCM:122177 DCM:111703 DCM:126071 DCM:128230 DCM:113907 DCM:113552 DCM:121075 SCT:160476009 DCM:109056
     DCM:126070 DCM:121111 DCM:121122`,
  ],
  ['TEXT', 'X', 'device', 'DCM:120999 DCM:113877 DCM:121013 DCM:121016 DCM:121196 DCM:110119 LN:74711-3'],
  ['TEXT', 'X', 'institution', 'DCM:121017 DCM:121197 DCM:113873 DCM:122128 DCM:121009 DCM:121434'],
  ['TIME', 'D', 'dates', 'DCM:127858 DCM:111019 DCM:111061'],
  ['TIME', 'X', 'dates', 'DCM:126202'],
  [
    'UIDREF',
    'D',
    'uids',
    `DCM:112357 DCM:128429 DCM:113769 DCM:121126 DCM:113503 DCM:112002 DCM:113985 DCM:121232 DCM:110180 DCM:112040
     DCM:112356 DCM:112227`,
  ],
  ['UIDREF', 'D', 'uids device', 'DCM:121012'],
  ['UIDREF', 'X', 'uids', 'DCM:128425 DCM:121019 DCM:121018 DCM:121039 DCM:121028 DCM:128470'],
  ['UIDREF', 'X', 'uids device', 'DCM:121198'],
  ['WAVEFORM', 'D', 'uids', 'DCM:121143'],
  ['WAVEFORM', 'X', 'uids', 'DCM:121080 DCM:121112'],
];

export const CONTENT_ITEM_TABLE: readonly ContentItemRow[] = GROUPS.flatMap(
  ([valueType, basic, options, concepts]) =>
    concepts.split(/\s+/).map((concept) => ({
      concept,
      valueType,
      basic,
      options: options.split(' ').filter(Boolean) as OptionWord[],
    })),
);
