/**
 * The header of a made-up image as scanners write it: some hundred attributes, sequences and a private block among
 * them, shaped after the Philips CT and Siemens MR headers of the corpus. Called by series.ts for every object.
 */
import type { Element } from './elements.ts';

export interface ImageHeader {
  sopClassUid: string;
  sopInstanceUid: string;
  studyUid: string;
  seriesUid: string;
  frameOfReferenceUid: string;
  modality: 'CT' | 'MR';
  seriesNumber: number;
  /** From 1. */
  instanceNumber: number;
  /** Pixels, of 16 bits each. */
  rows: number;
  columns: number;
}

/** Everything below (7FE0,0010) Pixel Data but what only multi-frame objects have. */
export function imageHeader(image: ImageHeader): Element[] {
  return [...general(image), ...acquisition(image), ...imagePixel(image), ...privateBlock(image)];
}

function general(image: ImageHeader): Element[] {
  const { instanceNumber: number } = image;
  const time = `1012${String(number % 60).padStart(2, '0')}.${String(number % 1_000_000).padStart(6, '0')}`;
  return [
    ['00080005', 'CS', 'ISO_IR 100'],
    ['00080008', 'CS', ['ORIGINAL', 'PRIMARY', image.modality === 'CT' ? 'AXIAL' : 'M', 'NORM']],
    ['00080012', 'DA', '20260105'],
    ['00080013', 'TM', time],
    ['00080016', 'UI', image.sopClassUid],
    ['00080018', 'UI', image.sopInstanceUid],
    ['00080020', 'DA', '20260105'],
    ['00080021', 'DA', '20260105'],
    ['00080022', 'DA', '20260105'],
    ['00080023', 'DA', '20260105'],
    ['00080030', 'TM', '101112.000000'],
    ['00080031', 'TM', '101130.000000'],
    ['00080032', 'TM', time],
    ['00080033', 'TM', time],
    ['00080050', 'SH', 'BENCH0000000001'],
    ['00080060', 'CS', image.modality],
    ['00080070', 'LO', 'Isocenter'],
    ['00080080', 'LO', 'Isocenter phantom laboratory'],
    ['00080081', 'ST', '1 Bench Street, Nowhere'],
    ['00080090', 'PN', 'Referring^Doctor'],
    ['00081010', 'SH', 'BENCHSTATION'],
    ['00081030', 'LO', 'Benchmark study'],
    ['00081032', 'SQ', [[...code('BENCH', '99ISO', 'Benchmark procedure')]]],
    ['0008103E', 'LO', 'Benchmark series axial 1.0'],
    ['00081040', 'LO', 'Radiology'],
    ['00081050', 'PN', 'Performing^Doctor'],
    ['00081070', 'PN', 'Operator^One'],
    ['00081090', 'LO', 'Synthetic scanner'],
    ['00081110', 'SQ', [[...reference('1.2.840.10008.3.1.2.3.1', `${image.studyUid}.1`)]]],
    ['00081111', 'SQ', [[...reference('1.2.840.10008.3.1.2.3.3', `${image.studyUid}.2`)]]],
    [
      '00081140',
      'SQ',
      [1, 2, 3].map((localizer) => [...reference(image.sopClassUid, `${image.seriesUid}.${localizer}`)]),
    ],
    ['00082111', 'ST', 'made up'],
    ['00100010', 'PN', 'Bench^Phantom'],
    ['00100020', 'LO', 'BENCH-1'],
    ['00100030', 'DA', '19700101'],
    ['00100040', 'CS', 'O'],
    ['00101010', 'AS', '056Y'],
    ['00101020', 'DS', '1.80'],
    ['00101030', 'DS', '80'],
    ['00102160', 'SH', ''],
    ['001021B0', 'LT', ''],
    ['00104000', 'LT', ''],
    ['0020000D', 'UI', image.studyUid],
    ['0020000E', 'UI', image.seriesUid],
    ['00200010', 'SH', '1'],
    ['00200011', 'IS', String(image.seriesNumber)],
    ['00200012', 'IS', '1'],
    ['00200013', 'IS', String(number)],
    ['00200020', 'CS', ['L', 'P']],
    ['00200032', 'DS', ['-204.6', '-204.6', (number * 1.25).toFixed(2)]],
    ['00200037', 'DS', ['1', '0', '0', '0', '1', '0']],
    ['00200052', 'UI', image.frameOfReferenceUid],
    ['00201040', 'LO', ''],
    ['00201041', 'DS', (number * 1.25).toFixed(2)],
    ['00400244', 'DA', '20260105'],
    ['00400245', 'TM', '101112'],
    ['00400253', 'SH', 'PPS1'],
    ['00400254', 'LO', 'Benchmark step'],
    [
      '00400275',
      'SQ',
      [
        [
          ['00400007', 'LO', 'Benchmark step'],
          ['00400008', 'SQ', [[...code('STEP', '99ISO', 'Benchmark protocol')]]],
          ['00400009', 'SH', 'SPS1'],
          ['00401001', 'SH', 'RP1'],
        ],
      ],
    ],
  ];
}

function acquisition({ modality, instanceNumber }: ImageHeader): Element[] {
  const both: Element[] = [
    ['00180015', 'CS', 'CHEST'],
    ['00180050', 'DS', '1.25'],
    ['00180088', 'DS', '1.25'],
    ['00181000', 'LO', '000001'],
    ['00181020', 'LO', ['1.0', 'bench']],
    ['00181030', 'LO', 'Benchmark protocol'],
    ['00185100', 'CS', 'HFS'],
  ];
  if (modality === 'MR')
    return [
      ...both,
      ['00180020', 'CS', ['GR', 'IR']],
      ['00180021', 'CS', ['SK', 'SP']],
      ['00180022', 'CS', 'PFP'],
      ['00180023', 'CS', '3D'],
      ['00180024', 'SH', '*tfl3d1_16ns'],
      ['00180025', 'CS', 'N'],
      ['00180080', 'DS', '2300'],
      ['00180081', 'DS', '2.98'],
      ['00180082', 'DS', '900'],
      ['00180083', 'DS', '1'],
      ['00180084', 'DS', '123.25'],
      ['00180085', 'SH', '1H'],
      ['00180086', 'IS', '1'],
      ['00180087', 'DS', '3'],
      ['00180089', 'IS', '240'],
      ['00180091', 'IS', '224'],
      ['00180095', 'DS', '240'],
      ['00181251', 'SH', 'Body'],
      ['00181312', 'CS', 'ROW'],
      ['00181314', 'DS', '9'],
      ['00181315', 'CS', 'N'],
      ['00181316', 'DS', '0.04'],
    ];
  return [
    ...both,
    ['00180022', 'CS', 'HELIX'],
    ['00180060', 'DS', '120'],
    ['00180090', 'DS', '500'],
    ['00181100', 'DS', '409.6'],
    ['00181110', 'DS', '1040'],
    ['00181111', 'DS', '570'],
    ['00181120', 'DS', '0'],
    ['00181130', 'DS', '152.5'],
    ['00181140', 'CS', 'CW'],
    ['00181150', 'IS', '500'],
    ['00181151', 'IS', String(200 + (instanceNumber % 40))],
    ['00181152', 'IS', '120'],
    ['00181160', 'SH', 'WEDGE'],
    ['00181170', 'IS', '60'],
    ['00181190', 'DS', '1.2'],
    ['00181210', 'SH', 'STANDARD'],
    ['00189305', 'FD', [0.5]],
    ['00189306', 'FD', [0.625]],
    ['00189307', 'FD', [40]],
    ['00189309', 'FD', [39.4]],
    ['00189311', 'FD', [0.984]],
    ['00189345', 'FD', [6.4]],
  ];
}

function imagePixel({ rows, columns, modality }: ImageHeader): Element[] {
  return [
    ['00280002', 'US', [1]],
    ['00280004', 'CS', 'MONOCHROME2'],
    ['00280010', 'US', [rows]],
    ['00280011', 'US', [columns]],
    ['00280030', 'DS', ['0.8', '0.8']],
    ['00280100', 'US', [16]],
    ['00280101', 'US', [12]],
    ['00280102', 'US', [11]],
    ['00280103', 'US', [0]],
    ['00280301', 'CS', 'NO'],
    ['00281050', 'DS', ['40', '-600']],
    ['00281051', 'DS', ['400', '1500']],
    ['00281052', 'DS', modality === 'CT' ? '-1024' : '0'],
    ['00281053', 'DS', '1'],
    ['00281054', 'LO', modality === 'CT' ? 'HU' : 'US'],
    ['00281055', 'LO', ['SOFT TISSUE', 'LUNG']],
    ['00282110', 'CS', '00'],
  ];
}

/** What only the vendor can read; PS3.5 7.8.1. */
function privateBlock({ instanceNumber }: ImageHeader): Element[] {
  const blob = Buffer.alloc(512);
  for (let at = 0; at < blob.length; at += 4)
    blob.writeUInt32LE(Math.imul(instanceNumber + at, 2654435761) >>> 0, at);
  return [
    ['00090010', 'LO', 'ISOCENTER BENCH 01'],
    ['00091001', 'LO', 'private text'],
    ['00091002', 'DS', ['1.5', '2.5', '3.5']],
    ['00091003', 'UL', [instanceNumber]],
    ['00291010', 'OB', blob],
    ['00290010', 'LO', 'ISOCENTER BENCH CSA'],
    ['00291008', 'CS', 'IMAGE NUM 4'],
    ['00291009', 'LO', '20260105'],
    ['00291020', 'SQ', [[...code('P1', '99ISO', 'private item')], [...code('P2', '99ISO', 'private item')]]],
  ];
}

function code(value: string, scheme: string, meaning: string): Element[] {
  return [
    ['00080100', 'SH', value],
    ['00080102', 'SH', scheme],
    ['00080104', 'LO', meaning],
  ];
}

function reference(sopClassUid: string, sopInstanceUid: string): Element[] {
  return [
    ['00081150', 'UI', sopClassUid],
    ['00081155', 'UI', sopInstanceUid],
  ];
}
