/**
 * Runs what is done with every header over a made-up one, so that V8 has compiled it when the first object or viewer
 * comes: code that runs for the first time takes ten times as long, and a first series would wait for it.
 * Called at the start by intake/settler-thread.ts, and by dicomweb/metadata.ts, which sends what is made here.
 */
import { attribute } from '../dicom/attributes.ts';
import { tagNumber, vrCode } from '../dicom/element-header.ts';
import { EXPLICIT_LE } from '../dicom/transfer-syntax.ts';
import { ElementWriter } from '../transform/element-writer.ts';
import { INDEXED } from './indexed-attributes.ts';
import { earlyPiece, parseHeader } from './intake/prepare-object.ts';

/** Headers after which nothing more is compiled. */
const HEADERS = 200;
/** Of the times that one header takes, how many at most: a machine that is slow now is not held up. */
const AT_ONCE = 20;

const VALUES: Readonly<Record<string, string>> = {
  AS: '056Y',
  CS: 'ORIGINAL\\PRIMARY',
  DA: '20260105',
  DS: '-1.5\\0.25 ',
  DT: '20260105101112',
  IS: '12',
  LO: 'Made up ',
  LT: 'Made up ',
  PN: 'Made^Up ',
  SH: 'MADEUP',
  ST: 'Made up ',
  TM: '101112.5',
  UI: '2.25.1234567890\0',
  US: '\x01\x02',
};

/**
 * Reads headers and makes their pieces, a few at a time, others being served between.
 * @param limitMs no more are begun after this
 * @returns the pieces made last, for who goes on with them
 */
export async function warmUp(limitMs: number): Promise<Buffer[]> {
  const bytes = madeUpHeader();
  const of = { transferSyntaxUid: EXPLICIT_LE, length: bytes.length };
  const pixel = {
    tag: '7FE00010',
    vr: 'OW',
    elementOffset: bytes.length,
    offset: bytes.length,
    length: 0,
    encapsulated: false,
  };
  const until = performance.now() + limitMs;
  let made: Buffer[] = [];
  for (let done = 0; done < HEADERS && performance.now() < until; done += AT_ONCE) {
    made = Array.from({ length: AT_ONCE }, () =>
      earlyPiece(parseHeader(bytes, EXPLICIT_LE), { ...of, pixel }),
    ).filter((piece) => piece !== undefined);
    await new Promise(setImmediate);
  }
  return made;
}

/** Every attribute that is indexed, with a value of its kind. */
function madeUpHeader(): Buffer {
  const writer = new ElementWriter();
  for (const tag of [...INDEXED].sort()) {
    const vr = attribute(tag)?.vr ?? 'UN';
    const value = Buffer.from(VALUES[vr] ?? '', 'latin1');
    writer.header(tagNumber(tag), vrCode(vr), value.length);
    writer.value(value);
  }
  return Buffer.concat(writer.take());
}
