/**
 * The colour tables of PALETTE COLOR images (PS3.3 C.7.9), as the numbers that Cornerstone's converter reads.
 * DICOM JSON carries them as bytes, inline or behind a BulkDataURI. Called by series-images.ts.
 */
import { type Dataset, numbers, text } from './dataset.ts';

/** Descriptor and data of red, green and blue. */
const TABLES = [
  ['00281101', '00281201'],
  ['00281102', '00281202'],
  ['00281103', '00281203'],
] as const;

/** The same data set with its tables as numbers; any other data set as it is. */
export async function withPalette(
  dataset: Dataset,
  fetchBytes: (uri: string) => Promise<Uint8Array>,
): Promise<Dataset> {
  if (text(dataset, '00280004') !== 'PALETTE COLOR') return dataset;
  const tables: Record<string, { vr: string; Value: number[] }> = {};
  for (const [descriptor, data] of TABLES) {
    const element = dataset[data];
    const bits = numbers(dataset, descriptor)?.[2] ?? 16;
    if (element?.InlineBinary !== undefined) {
      tables[data] = { vr: 'OW', Value: entries(fromBase64(element.InlineBinary), bits) };
    } else if (element?.BulkDataURI !== undefined) {
      tables[data] = { vr: 'OW', Value: entries(await fetchBytes(element.BulkDataURI), bits) };
    }
  }
  return { ...dataset, ...tables };
}

/** Little endian words, or bytes where the descriptor says that an entry has eight bits. */
function entries(bytes: Uint8Array, bits: number): number[] {
  if (bits === 8) return [...bytes];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: Math.floor(bytes.byteLength / 2) }, (_, i) => view.getUint16(i * 2, true));
}

function fromBase64(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
