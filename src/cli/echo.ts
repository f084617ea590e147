/** `isocenter echo AET@HOST:PORT`: one C-ECHO (PS3.4 Annex A), and in words what the node answered. */
import { VERIFICATION } from '../dicom/sop-class.ts';
import { EXPLICIT_LE, IMPLICIT_LE } from '../dicom/transfer-syntax.ts';
import { openAssociation } from '../dimse/outbound-association.ts';
import { statusClass, statusWord } from '../dimse/status.ts';
import { parseTarget } from './target.ts';

export interface EchoOptions {
  /** Default ISOCENTER. */
  callingAeTitle?: string | undefined;
}

/** @returns the exit code. A Failure says why the node cannot be reached or refuses. */
export async function echo(target: string, options: EchoOptions = {}): Promise<number> {
  const node = parseTarget(target);
  const began = performance.now();
  const association = await openAssociation({
    host: node.host,
    port: node.port,
    callingAeTitle: options.callingAeTitle ?? 'ISOCENTER',
    calledAeTitle: node.aeTitle,
    contexts: [{ abstractSyntax: VERIFICATION, transferSyntaxes: [IMPLICIT_LE, EXPLICIT_LE] }],
  });
  const status = await association.echo();
  await association.release();
  console.log(`${node.text} answered ${statusWord(status)} in ${Math.round(performance.now() - began)} ms`);
  return statusClass(status) === 'success' ? 0 : 1;
}
