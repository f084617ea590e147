/**
 * In which transfer syntaxes a stored object can leave for a destination, best first, and which associations that takes.
 * Pure; storage-scu.ts proposes them and takes the first that the peer accepts.
 */
import { type ContextProposal, maxContexts } from '../dimse/plan-contexts.ts';
import { changedSyntax, conversionsOf } from './object-bytes.ts';

/**
 * As it is stored first: those are the bytes that came.
 * @param allowed the destination's transferSyntaxes, best first; undefined for any
 * @param changed a rule changes it on the way
 */
export function waysOut(stored: string, allowed: readonly string[] | undefined, changed = false): string[] {
  const conversions = conversionsOf(stored);
  const targets = allowed ? allowed.filter((uid) => conversions.includes(uid)) : conversions;
  const asStored =
    (allowed === undefined || allowed.includes(stored)) && !(changed && changedSyntax(stored) !== stored);
  return [...(asStored ? [stored] : []), ...targets];
}

export interface PlannedAssociation {
  contexts: ContextProposal[];
  /** What it is for, by kindOf. */
  kinds: Set<string>;
}

export function kindOf(sopClassUid: string, transferSyntaxUid: string): string {
  return `${sopClassUid} ${transferSyntaxUid}`;
}

/**
 * All ways of a kind on one association, one transfer syntax a context, so that what the peer accepts says exactly what
 * it takes; more than 128 contexts are several associations. Kinds keep their order; those without a way are in none.
 */
export function planAssociations(
  kinds: readonly { sopClassUid: string; transferSyntaxUid: string }[],
  allowed: readonly string[] | undefined,
  changed = false,
): PlannedAssociation[] {
  const plan: (PlannedAssociation & { pairs: Set<string> })[] = [];
  for (const { sopClassUid, transferSyntaxUid } of kinds) {
    const ways = waysOut(transferSyntaxUid, allowed, changed);
    if (ways.length === 0) continue;
    let current = plan.at(-1);
    const added = (pairs: ReadonlySet<string> | undefined) =>
      ways.filter((way) => !pairs?.has(kindOf(sopClassUid, way)));
    if (!current || current.contexts.length + added(current.pairs).length > maxContexts) {
      current = { contexts: [], kinds: new Set(), pairs: new Set() };
      plan.push(current);
    }
    for (const way of added(current.pairs)) {
      current.pairs.add(kindOf(sopClassUid, way));
      current.contexts.push({ abstractSyntax: sopClassUid, transferSyntaxes: [way] });
    }
    current.kinds.add(kindOf(sopClassUid, transferSyntaxUid));
  }
  return plan.map(({ contexts, kinds: planned }) => ({ contexts, kinds: planned }));
}
