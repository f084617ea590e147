/**
 * Answers the presentation contexts of an association that a peer asks for (PS3.8 9.3.3.2), by the scp's decision on
 * each. Called by inbound-association.ts before the engine writes the A-ASSOCIATE-AC.
 */
import { STORAGE_COMMITMENT, sopClassName } from '../dicom/sop-class.ts';
import type { PresentationContextRequest } from './association-request.ts';
import { type EngineAssociation, PresentationContextResult } from './engine.ts';
import type { AcceptedContext } from './inbound-messages.ts';
import type { ContextAnswer } from './negotiate-storage.ts';

/** A SOP class nothing of which can be sent on the association. */
export interface ContextRefusal {
  what: 'context';
  code: 'sop-class' | 'transfer-syntax';
  sentence: string;
  sopClassUid: string;
}

/** Writes the answers into `association`. @returns the accepted contexts by ID, and what was refused, in words */
export function answerContexts(
  association: EngineAssociation,
  negotiate: (context: PresentationContextRequest) => ContextAnswer,
): { accepted: Map<number, AcceptedContext>; refusals: ContextRefusal[] } {
  const accepted = new Map<number, AcceptedContext>();
  /** Without transfer syntaxes where it is the class that is not taken. */
  const refused: PresentationContextRequest[] = [];
  for (const { id, context } of association.getPresentationContexts()) {
    const abstractSyntax = context.getAbstractSyntaxUid();
    const proposed = { id, abstractSyntax, transferSyntaxes: [...context.getTransferSyntaxUids()] };
    const answer = negotiate(proposed);
    if (answer === 'refuse-abstract-syntax') {
      context.setResult(PresentationContextResult.RejectAbstractSyntaxNotSupported);
      refused.push({ ...proposed, transferSyntaxes: [] });
    } else if (answer === 'refuse-transfer-syntaxes') {
      context.setResult(PresentationContextResult.RejectTransferSyntaxesNotSupported);
      refused.push(proposed);
    } else {
      context.setResult(PresentationContextResult.Accept, answer);
      accepted.set(id, { id, abstractSyntax, transferSyntaxUid: answer });
    }
    // Role selection: the peer stays SCU, we SCP, whatever else it proposes (PS3.7 D.3.3.4); but who committed to what
    // we sent comes as the SCP of Storage Commitment, to report (PS3.4 J.3.3).
    if (context.getProviderRole() && abstractSyntax !== STORAGE_COMMITMENT) context.setProviderRole(false);
  }
  association.setNegotiateAsyncOps(false); // one operation at a time: PS3.7 D.3.3.3
  // A class that another of its contexts was accepted for is not refused: the sender has a way for it.
  const classes = new Set([...accepted.values()].map(({ abstractSyntax }) => abstractSyntax));
  const refusals = refused.filter(({ abstractSyntax }) => !classes.has(abstractSyntax)).map(inWords);
  return { accepted, refusals };
}

function inWords({ abstractSyntax, transferSyntaxes }: PresentationContextRequest): ContextRefusal {
  const code = transferSyntaxes.length === 0 ? 'sop-class' : 'transfer-syntax';
  const why =
    code === 'sop-class'
      ? 'is not served here'
      : `was proposed in no transfer syntax known here (${transferSyntaxes.join(', ')})`;
  const sentence = `${sopClassName(abstractSyntax)} ${why}: nothing of it can be sent on this association`;
  return { what: 'context', code, sentence, sopClassUid: abstractSyntax };
}
