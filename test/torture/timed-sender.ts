/**
 * A modality in a process of its own, so that what is done to the receiver beside it does not slow the sender itself:
 * `node timed-sender.ts PORT AE COUNT BYTES` makes its objects, sends them over one association, and prints a line of
 * JSON: how many were answered Success, which, and the milliseconds from the connection to the release.
 */
import { openAssociation } from '../../src/dimse/outbound-association.ts';
import { aSeries, CT, EXPLICIT } from '../support/an-object.ts';

const [port, callingAeTitle = 'HONEST', count, pixelBytes] = process.argv.slice(2);
const objects = aSeries(Number(count), { pixelBytes: Number(pixelBytes) });

const started = performance.now();
const association = await openAssociation({
  host: '127.0.0.1',
  port: Number(port),
  callingAeTitle,
  calledAeTitle: 'ISOCENTER',
  contexts: [{ abstractSyntax: CT, transferSyntaxes: [EXPLICIT] }],
});
const stored: string[] = [];
const answers: number[] = [];
for (const { declared, dataSet, sop } of objects) {
  const { status } = await association.store(declared, whole(dataSet));
  if (status === 0) stored.push(sop);
  else answers.push(status);
}
await association.release();
process.stdout.write(`${JSON.stringify({ ms: performance.now() - started, stored, answers })}\n`);

async function* whole(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}
