/**
 * `isocenter modality --ct 200`: a CT scanner without a scanner. Makes a synthetic chest slice by slice (phantom.ts,
 * ct-slice.ts) and sends it through a real association, so that a first look needs no files. One slice is held at a time.
 */
import { randomUUID } from 'node:crypto';
import { EXPLICIT_LE } from '../dicom/transfer-syntax.ts';
import { openAssociation } from '../dimse/outbound-association.ts';
import { statusClass, statusWord } from '../dimse/status.ts';
import { Failure } from '../failure.ts';
import { CT_IMAGE_STORAGE, type CtStudy, encodeCtSlice, studyInstanceUid } from './ct-slice.ts';
import { BOTTOM, createPhantom, TOP } from './phantom.ts';
import { createProgress, type Screen } from './progress.ts';
import { createRandom } from './random.ts';
import { FIRST_NODE, parseTarget } from './target.ts';

export interface ModalityOptions {
  /** Slices of the CT, 1 to 2000. */
  ct: number;
  /** AET@HOST:PORT; default FIRST_NODE. */
  to?: string | undefined;
  /** Default PHANTOM_CT. */
  callingAeTitle?: string | undefined;
  /** The same seed gives the same study, byte for byte. Default: a new study each time. */
  seed?: string | undefined;
  screen?: Screen;
}

const maxSlices = 2_000;
/** With a seed the date is fixed too. */
const seededMoment = { date: '20250102', time: '030405' };

/** @returns the exit code: 0 when every slice arrived. */
export async function modality(options: ModalityOptions): Promise<number> {
  const { ct } = options;
  if (!Number.isInteger(ct) || ct < 1 || ct > maxSlices) {
    throw new Failure('invalid', `--ct takes a number of slices from 1 to ${maxSlices}`);
  }
  const node = parseTarget(options.to ?? FIRST_NODE);
  const seed = options.seed ?? randomUUID();
  const moment = options.seed === undefined ? now() : seededMoment;
  const sliceMm = Math.round(((TOP - BOTTOM) / ct) * 1000) / 1000;
  const study: CtStudy = { seed, slices: ct, sliceMm, ...moment };
  const phantom = createPhantom(createRandom(seed));

  const association = await openAssociation({
    host: node.host,
    port: node.port,
    callingAeTitle: options.callingAeTitle ?? 'PHANTOM_CT',
    calledAeTitle: node.aeTitle,
    contexts: [{ abstractSyntax: CT_IMAGE_STORAGE, transferSyntaxes: [EXPLICIT_LE] }],
  });
  const progress = createProgress({ objects: ct }, options.screen);
  let failed = 0;
  let makingMs = 0;
  for (let index = 0; index < ct; index++) {
    const began = performance.now();
    const z = TOP - (index + 0.5) * sliceMm;
    const { sopInstanceUid, bytes } = encodeCtSlice(study, index, z, phantom.slice(z));
    makingMs += performance.now() - began;
    const object = { sopClassUid: CT_IMAGE_STORAGE, sopInstanceUid, transferSyntaxUid: EXPLICIT_LE };
    const { status, errorComment } = await association.store(
      { ...object, length: bytes.length },
      once(bytes),
    );
    const statusIs = statusClass(status);
    if (statusIs === 'success' || statusIs === 'warning') {
      progress.add(1, bytes.length);
      continue;
    }
    failed++;
    if (failed === 1) {
      progress.say(`slice ${index + 1}: ${statusWord(status)}${errorComment ? `: ${errorComment}` : ''}`);
    }
  }
  await association.release();
  progress.end();
  progress.say(
    failed === 0
      ? `A synthetic chest CT of ${ct} slices is at ${node.text} (patient Phantom^Isocenter); making it took ${(makingMs / 1000).toFixed(1)} s of that`
      : `${failed} of ${ct} slices were refused by ${node.text}`,
  );
  // Deliveries, the timeline and DICOMweb are asked for by it.
  if (failed < ct) progress.say(`Study Instance UID ${studyInstanceUid(study)}`);
  return failed === 0 ? 0 : 1;
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** The local date and time as DA and TM (PS3.5 6.2). */
function now(): { date: string; time: string } {
  const at = new Date();
  const two = (value: number) => String(value).padStart(2, '0');
  return {
    date: `${at.getFullYear()}${two(at.getMonth() + 1)}${two(at.getDate())}`,
    time: `${two(at.getHours())}${two(at.getMinutes())}${two(at.getSeconds())}`,
  };
}
