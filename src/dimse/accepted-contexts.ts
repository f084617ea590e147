/**
 * What a peer answered to the contexts we proposed: which objects it takes as they are, and why it does not take others.
 * Filled by requestor.ts from the engine's association, asked by forwarding and the CLI through the association.
 */
import { sopClassName } from '../dicom/sop-class.ts';
import { transferSyntax } from '../dicom/transfer-syntax.ts';
import { type EngineAssociation, PresentationContextResult } from './engine.ts';
import type { ContextProposal } from './plan-contexts.ts';

/** PS3.8 Table 9-18. */
function resultWords(result: number): string {
  if (result === PresentationContextResult.RejectUser) return 'refused by its user';
  if (result === PresentationContextResult.RejectAbstractSyntaxNotSupported) {
    return 'abstract syntax not supported';
  }
  if (result === PresentationContextResult.RejectTransferSyntaxesNotSupported) {
    return 'transfer syntax not supported';
  }
  return result === PresentationContextResult.Proposed ? 'not answered' : 'refused without a reason';
}

export class AcceptedContexts {
  /** By "abstractSyntax transferSyntax". */
  readonly #ids = new Map<string, number>();
  readonly #refusals = new Map<string, string>();
  readonly #byId = new Map<number, { abstractSyntax: string; transferSyntaxUid: string }>();

  /** `proposals` in the order in which they were added to the association. */
  read(association: EngineAssociation, proposals: readonly ContextProposal[]): void {
    association.getPresentationContexts().forEach(({ id, context }, index) => {
      const { abstractSyntax, transferSyntaxes } = proposals[index]!;
      const accepted = context.getResult() === PresentationContextResult.Accept;
      const chosen = context.getAcceptedTransferSyntaxUid();
      if (accepted && chosen) this.#byId.set(id, { abstractSyntax, transferSyntaxUid: chosen });
      for (const uid of transferSyntaxes) {
        const key = `${abstractSyntax} ${uid}`;
        if (accepted && uid === chosen) this.#ids.set(key, id);
        else if (accepted)
          this.#refusals.set(key, `the peer chose ${transferSyntax(chosen ?? '').name} instead`);
        else this.#refusals.set(key, resultWords(context.getResult()));
      }
    });
  }

  id(abstractSyntax: string, transferSyntaxUid: string): number | undefined {
    return this.#ids.get(`${abstractSyntax} ${transferSyntaxUid}`);
  }

  ofId(id: number): { abstractSyntax: string; transferSyntaxUid: string } | undefined {
    return this.#byId.get(id);
  }

  refusal(abstractSyntax: string, transferSyntaxUid: string): string {
    const why = this.#refusals.get(`${abstractSyntax} ${transferSyntaxUid}`) ?? 'not proposed';
    return `${sopClassName(abstractSyntax)} in ${transferSyntax(transferSyntaxUid).name}: ${why}`;
  }
}
