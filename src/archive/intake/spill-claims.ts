/**
 * Objects that outgrew their segment and are still coming: what each has claimed of the journal's limit, by journal.
 * Should a receiver thread die in the middle, its claims and files are given back here, by the settler.
 */
import fs from 'node:fs';
import type { Log } from '../../log.ts';
import type { JournalBudget } from './budget.ts';

export interface SpillClaims {
  /** @param claimed bytes; 0 when the object is finished (its record carries the claim then) or dropped */
  note(journal: string, file: string, claimed: number): void;
  /** The journal is gone: nobody will finish them, and nobody was told that we have them. */
  drop(journal: string): void;
}

export function createSpillClaims(budget: JournalBudget, log: Log): SpillClaims {
  const journals = new Map<string, Map<string, number>>();
  return {
    note(journal, file, claimed) {
      const own = journals.get(journal) ?? new Map<string, number>();
      journals.set(journal, own);
      if (claimed > 0) own.set(file, claimed);
      else own.delete(file);
    },
    drop(journal) {
      for (const [file, claimed] of journals.get(journal) ?? []) {
        budget.free(claimed);
        try {
          fs.rmSync(file, { force: true });
        } catch (err) {
          log.warn({ err, file }, 'what a lost object left is removed at the next start');
        }
      }
      journals.delete(journal);
    },
  };
}
