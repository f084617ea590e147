/**
 * The header of a DICOM object that somebody uploads to try rules with: its first bytes are read, everything behind is
 * passed over, nothing is stored. Called by try-routes.ts; bounded in memory and in length.
 */
import { parseDataSet } from '../dicom/data-set.ts';
import { type DicomJson, toDicomJson } from '../dicom/dicom-json.ts';
import { readFileMeta } from '../dicom/part10.ts';
import { Failure } from '../failure.ts';
import type { TriedHeader } from '../routing/try-rule.ts';

const MOST_HEADER_BYTES = 4 * 1024 * 1024;
const MOST_BYTES = 4 * 1024 ** 3;

/** @throws Failure 'invalid' when it is no DICOM, 'too-large' for a header of more than 4 MB */
export async function uploadedHeader(body: AsyncIterable<Uint8Array>): Promise<TriedHeader> {
  const { head, length } = await readHead(body, MOST_HEADER_BYTES);
  const meta = readFileMeta(head);
  const dataSet = parseDataSet(head.subarray(meta.dataSetOffset), meta.transferSyntaxUid, {
    stopAtPixelData: true,
  });
  if (dataSet.fault !== undefined) {
    if (length > head.length)
      throw new Failure('too-large', `The object's header is longer than ${MOST_HEADER_BYTES} bytes`);
    throw new Failure('invalid', `The object cannot be read: ${dataSet.fault}`);
  }
  const header: DicomJson = {
    ...toDicomJson(dataSet),
    '00020010': { vr: 'UI', Value: [meta.transferSyntaxUid] },
  };
  const uid = (tag: string): string => String(header[tag]?.Value?.[0] ?? '');
  return { sopUid: uid('00080018'), seriesUid: uid('0020000E'), header };
}

/** The first bytes of a body whose rest is passed over. */
export async function readHead(
  body: AsyncIterable<Uint8Array>,
  most: number,
): Promise<{ head: Buffer; length: number }> {
  const kept: Uint8Array[] = [];
  let [held, length] = [0, 0];
  for await (const chunk of body) {
    length += chunk.length;
    if (length > MOST_BYTES) throw new Failure('too-large', `The body is longer than ${MOST_BYTES} bytes`);
    const room = most - held;
    if (room <= 0) continue;
    const taken = Uint8Array.prototype.slice.call(chunk, 0, room);
    kept.push(taken);
    held += taken.length;
  }
  return { head: Buffer.concat(kept), length };
}
