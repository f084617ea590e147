/**
 * Which presentation contexts a sender proposes for the objects it has (PS3.8 9.3.2.2). Pure;
 * used by forwarding and the CLI before they open associations.
 */
import { Failure } from '../failure.ts';

export interface ContextProposal {
  abstractSyntax: string;
  transferSyntaxes: string[];
  /** Role selection (PS3.7 D.3.3.4): we come as the SCP, to report. Without it we are the SCU. */
  asProvider?: boolean;
}

/** Presentation context IDs are the odd numbers 1 to 255. */
export const maxContexts = 128;

/**
 * One context per SOP class and stored transfer syntax, that syntax alone: an acceptor picks one syntax per context,
 * so only this makes its acceptance say exactly which objects it takes as they are.
 * More than 128 pairs come as several lists, one association each; pairs keep the order of their first object.
 */
export function planContexts(
  objects: Iterable<{ sopClassUid: string; transferSyntaxUid: string }>,
): ContextProposal[][] {
  const seen = new Set<string>();
  const plan: ContextProposal[][] = [];
  for (const { sopClassUid, transferSyntaxUid } of objects) {
    const pair = `${sopClassUid} ${transferSyntaxUid}`;
    if (seen.has(pair)) continue;
    seen.add(pair);
    let contexts = plan.at(-1);
    if (contexts === undefined || contexts.length === maxContexts) {
      contexts = [];
      plan.push(contexts);
    }
    contexts.push({ abstractSyntax: sopClassUid, transferSyntaxes: [transferSyntaxUid] });
  }
  return plan;
}

/**
 * What stands for a UID in a PDU or command: File Meta need not name an object (some have none), and a field left
 * empty ends the association. Which characters it has is the peer's to judge: bytes are sent as they came.
 * @param what completes "The ... is missing". @throws Failure 'invalid'
 */
export function checkUid(what: string, uid: string | undefined): void {
  if (!uid) throw new Failure('invalid', `The ${what} is missing`);
}
