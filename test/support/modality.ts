/**
 * Senders for tests that look at the whole house from outside: a modality over DIMSE, a client of STOW-RS, and what the
 * archive gives back as the original.
 */
import { buildFileMeta, readFileMeta } from '../../src/dicom/part10.ts';
import { openAssociation } from '../../src/dimse/outbound-association.ts';
import { planContexts } from '../../src/dimse/plan-contexts.ts';
import type { House } from './house.ts';

export interface SentObject {
  declared: { sopClassUid: string; sopInstanceUid: string; transferSyntaxUid: string };
  dataSet: Buffer;
}

export interface Answer {
  status: number;
  comment: string;
}

/** One association; the answer to each object, in order. At most 128 kinds of object. */
export async function sendObjects(
  house: Pick<House, 'dicomPort'>,
  callingAeTitle: string,
  objects: readonly SentObject[],
): Promise<Answer[]> {
  const [contexts = []] = planContexts(objects.map(({ declared }) => declared));
  const association = await openAssociation({
    host: '127.0.0.1',
    port: house.dicomPort,
    callingAeTitle,
    calledAeTitle: 'ISOCENTER',
    contexts,
  });
  const answers: Answer[] = [];
  for (const { declared, dataSet } of objects) {
    const response = await association.store(declared, inPieces(dataSet));
    answers.push({ status: response.status, comment: response.errorComment ?? '' });
  }
  await association.release();
  return answers;
}

async function* inPieces(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}

/** A Part 10 file as a STOW client has it. */
export function fileOf({ declared, dataSet }: SentObject): Buffer {
  return Buffer.concat([buildFileMeta(declared), dataSet]);
}

const BOUNDARY = 'the-boundary-of-the-test';
export const MULTIPART = `multipart/related; type="application/dicom"; boundary=${BOUNDARY}`;

export function multipart(files: readonly Uint8Array[]): Buffer {
  const parts = files.flatMap((file) => [
    Buffer.from(`\r\n--${BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n`),
    file,
  ]);
  return Buffer.concat([...parts, Buffer.from(`\r\n--${BOUNDARY}--\r\n`)]);
}

export function stow(house: Pick<House, 'url'>, body: Uint8Array): Promise<Response> {
  return fetch(`${house.url}/dicom-web/studies`, {
    method: 'POST',
    headers: { 'content-type': MULTIPART },
    body: new Uint8Array(body),
  });
}

/** The data set of the stored original; throws with the answer when there is none. */
export async function originalDataSet(house: Pick<House, 'url'>, sopUid: string): Promise<Buffer> {
  const response = await fetch(`${house.url}/api/instances/${sopUid}/original`);
  if (response.status !== 200)
    throw new Error(`${sopUid} is answered ${response.status}: ${await response.text()}`);
  const file = Buffer.from(await response.arrayBuffer());
  return file.subarray(readFileMeta(file).dataSetOffset);
}
