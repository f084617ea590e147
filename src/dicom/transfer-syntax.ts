/**
 * Transfer syntaxes (PS3.5 section 10 and Annex A, PS3.6 Table A-1): what each says about the bytes.
 * The association offers and accepts KEPT_TRANSFER_SYNTAXES; scanners and frame readers ask transferSyntax().
 */

export interface TransferSyntax {
  readonly uid: string;
  readonly name: string;
  readonly explicit: boolean;
  readonly bigEndian: boolean;
  /** Pixel Data travels in fragments. False for an unknown syntax: there the length of Pixel Data decides. */
  readonly encapsulated: boolean;
  /** The whole data set is one raw deflate stream. */
  readonly deflated: boolean;
  /** The syntax may lose information (whether it did, only LossyImageCompression says). */
  readonly lossy: boolean;
}

export const IMPLICIT_LE = '1.2.840.10008.1.2';
export const EXPLICIT_LE = '1.2.840.10008.1.2.1';
export const DEFLATED_LE = '1.2.840.10008.1.2.1.99';
export const EXPLICIT_BE = '1.2.840.10008.1.2.2';
export const JPEG_BASELINE = '1.2.840.10008.1.2.4.50';
export const JPEG_EXTENDED = '1.2.840.10008.1.2.4.51';
export const JPEG_LOSSLESS = '1.2.840.10008.1.2.4.57';
export const JPEG_LOSSLESS_SV1 = '1.2.840.10008.1.2.4.70';
export const JPEG_LS_LOSSLESS = '1.2.840.10008.1.2.4.80';
export const JPEG_LS_NEAR_LOSSLESS = '1.2.840.10008.1.2.4.81';
export const JPEG_2000_LOSSLESS = '1.2.840.10008.1.2.4.90';
export const JPEG_2000 = '1.2.840.10008.1.2.4.91';
export const HTJ2K_LOSSLESS = '1.2.840.10008.1.2.4.201';
export const HTJ2K_LOSSLESS_RPCL = '1.2.840.10008.1.2.4.202';
export const HTJ2K = '1.2.840.10008.1.2.4.203';
export const RLE_LOSSLESS = '1.2.840.10008.1.2.5';

type Kind = 'native' | 'lossless' | 'lossy';

/**
 * Left out on purpose: the JPIP syntaxes (…4.94, .95, .204, .205), whose pixels stay behind at the sender's URL,
 * so that keeping the object would not keep the image; SMPTE ST 2110 (…7.x), which is a live stream.
 */
const TABLE: readonly (readonly [uid: string, name: string, kind: Kind])[] = [
  [EXPLICIT_LE, 'Explicit VR Little Endian', 'native'],
  [IMPLICIT_LE, 'Implicit VR Little Endian', 'native'],
  [DEFLATED_LE, 'Deflated Explicit VR Little Endian', 'native'],
  [EXPLICIT_BE, 'Explicit VR Big Endian', 'native'],
  ['1.2.840.10008.1.2.1.98', 'Encapsulated Uncompressed Explicit VR Little Endian', 'lossless'],
  [JPEG_BASELINE, 'JPEG Baseline (Process 1)', 'lossy'],
  [JPEG_EXTENDED, 'JPEG Extended (Process 2 and 4)', 'lossy'],
  ['1.2.840.10008.1.2.4.52', 'JPEG Extended (Process 3 and 5)', 'lossy'],
  ['1.2.840.10008.1.2.4.53', 'JPEG Spectral Selection, Non-Hierarchical (Process 6 and 8)', 'lossy'],
  ['1.2.840.10008.1.2.4.54', 'JPEG Spectral Selection, Non-Hierarchical (Process 7 and 9)', 'lossy'],
  ['1.2.840.10008.1.2.4.55', 'JPEG Full Progression, Non-Hierarchical (Process 10 and 12)', 'lossy'],
  ['1.2.840.10008.1.2.4.56', 'JPEG Full Progression, Non-Hierarchical (Process 11 and 13)', 'lossy'],
  [JPEG_LOSSLESS, 'JPEG Lossless, Non-Hierarchical (Process 14)', 'lossless'],
  ['1.2.840.10008.1.2.4.58', 'JPEG Lossless, Non-Hierarchical (Process 15)', 'lossless'],
  ['1.2.840.10008.1.2.4.59', 'JPEG Extended, Hierarchical (Process 16 and 18)', 'lossy'],
  ['1.2.840.10008.1.2.4.60', 'JPEG Extended, Hierarchical (Process 17 and 19)', 'lossy'],
  ['1.2.840.10008.1.2.4.61', 'JPEG Spectral Selection, Hierarchical (Process 20 and 22)', 'lossy'],
  ['1.2.840.10008.1.2.4.62', 'JPEG Spectral Selection, Hierarchical (Process 21 and 23)', 'lossy'],
  ['1.2.840.10008.1.2.4.63', 'JPEG Full Progression, Hierarchical (Process 24 and 26)', 'lossy'],
  ['1.2.840.10008.1.2.4.64', 'JPEG Full Progression, Hierarchical (Process 25 and 27)', 'lossy'],
  ['1.2.840.10008.1.2.4.65', 'JPEG Lossless, Hierarchical (Process 28)', 'lossless'],
  ['1.2.840.10008.1.2.4.66', 'JPEG Lossless, Hierarchical (Process 29)', 'lossless'],
  [JPEG_LOSSLESS_SV1, 'JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 SV1)', 'lossless'],
  [JPEG_LS_LOSSLESS, 'JPEG-LS Lossless Image Compression', 'lossless'],
  [JPEG_LS_NEAR_LOSSLESS, 'JPEG-LS Lossy (Near-Lossless) Image Compression', 'lossy'],
  [JPEG_2000_LOSSLESS, 'JPEG 2000 Image Compression (Lossless Only)', 'lossless'],
  [JPEG_2000, 'JPEG 2000 Image Compression', 'lossy'],
  [
    '1.2.840.10008.1.2.4.92',
    'JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only)',
    'lossless',
  ],
  ['1.2.840.10008.1.2.4.93', 'JPEG 2000 Part 2 Multi-component Image Compression', 'lossy'],
  ['1.2.840.10008.1.2.4.100', 'MPEG2 Main Profile / Main Level', 'lossy'],
  ['1.2.840.10008.1.2.4.100.1', 'Fragmentable MPEG2 Main Profile / Main Level', 'lossy'],
  ['1.2.840.10008.1.2.4.101', 'MPEG2 Main Profile / High Level', 'lossy'],
  ['1.2.840.10008.1.2.4.101.1', 'Fragmentable MPEG2 Main Profile / High Level', 'lossy'],
  ['1.2.840.10008.1.2.4.102', 'MPEG-4 AVC/H.264 High Profile / Level 4.1', 'lossy'],
  ['1.2.840.10008.1.2.4.102.1', 'Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1', 'lossy'],
  ['1.2.840.10008.1.2.4.103', 'MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1', 'lossy'],
  [
    '1.2.840.10008.1.2.4.103.1',
    'Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1',
    'lossy',
  ],
  ['1.2.840.10008.1.2.4.104', 'MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video', 'lossy'],
  [
    '1.2.840.10008.1.2.4.104.1',
    'Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video',
    'lossy',
  ],
  ['1.2.840.10008.1.2.4.105', 'MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video', 'lossy'],
  [
    '1.2.840.10008.1.2.4.105.1',
    'Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video',
    'lossy',
  ],
  ['1.2.840.10008.1.2.4.106', 'MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2', 'lossy'],
  ['1.2.840.10008.1.2.4.106.1', 'Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2', 'lossy'],
  ['1.2.840.10008.1.2.4.107', 'HEVC/H.265 Main Profile / Level 5.1', 'lossy'],
  ['1.2.840.10008.1.2.4.108', 'HEVC/H.265 Main 10 Profile / Level 5.1', 'lossy'],
  ['1.2.840.10008.1.2.4.110', 'JPEG XL Lossless', 'lossless'],
  ['1.2.840.10008.1.2.4.111', 'JPEG XL JPEG Recompression', 'lossy'],
  ['1.2.840.10008.1.2.4.112', 'JPEG XL', 'lossy'],
  [HTJ2K_LOSSLESS, 'High-Throughput JPEG 2000 Image Compression (Lossless Only)', 'lossless'],
  [HTJ2K_LOSSLESS_RPCL, 'High-Throughput JPEG 2000 with RPCL Options (Lossless Only)', 'lossless'],
  [HTJ2K, 'High-Throughput JPEG 2000 Image Compression', 'lossy'],
  [RLE_LOSSLESS, 'RLE Lossless', 'lossless'],
  ['1.2.840.10008.1.2.8.1', 'Deflated Image Frame Compression', 'lossless'],
];

const known = new Map<string, TransferSyntax>(
  TABLE.map(([uid, name, kind]) => [
    uid,
    {
      uid,
      name,
      explicit: uid !== IMPLICIT_LE,
      bigEndian: uid === EXPLICIT_BE,
      encapsulated: kind !== 'native',
      deflated: uid === DEFLATED_LE,
      lossy: kind === 'lossy',
    },
  ]),
);

/** Every standard transfer syntax that can be kept as sent, in the order we prefer to be offered them. */
export const KEPT_TRANSFER_SYNTAXES: readonly string[] = TABLE.map(([uid]) => uid);

/** Whether the uid is one of KEPT_TRANSFER_SYNTAXES. */
export function isKnownTransferSyntax(uid: string): boolean {
  return known.has(uid);
}

/** What the syntax says about the bytes; a private or unknown one is read as Explicit VR Little Endian (PS3.5 10.2). */
export function transferSyntax(uid: string): TransferSyntax {
  return (
    known.get(uid) ?? {
      uid,
      name: 'Unknown transfer syntax',
      explicit: true,
      bigEndian: false,
      encapsulated: false,
      deflated: false,
      lossy: false,
    }
  );
}
