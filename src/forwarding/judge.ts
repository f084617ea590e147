/**
 * What a peer's answer for one instance means for the ledger: delivered, refused for good, or to be tried again.
 * Pure; storage-scu.ts asks with DIMSE statuses, stow-answer.ts with STOW's failure and warning reasons, which are
 * the same numbers (PS3.18 10.5.3.2, PS3.4 B.2.3).
 */
import { status as dimseStatus, statusClass, statusWord } from '../dimse/status.ts';
import type { Outcome } from '../routing/ledger.ts';

export type Verdict = Omit<Outcome, 'id'>;

/**
 * @param status -1 when the response had none
 * @param words what the peer said beside the number, already free of patient data
 */
export function judge(status: number, words?: string): Verdict {
  if (status < 0) return { state: 'failed', comment: 'the response has no (0000,0900) Status' };
  const comment = words ? `${statusWord(status)}: ${words}` : statusWord(status);
  switch (statusClass(status)) {
    case 'success':
      return { state: 'delivered', status };
    case 'warning':
      return { state: 'warning', status, comment };
    case 'transient':
      return { state: 'owed', status, comment };
    default:
      // After a crash we may send again what arrived before: a peer that has it is where we want it to be.
      if (status === dimseStatus.duplicateSopInstance) return { state: 'warning', status, comment };
      return { state: 'failed', status, comment };
  }
}

const LONGEST = 200;

/**
 * A peer's own words, as they may be kept: it might quote the patient, so what identifies one is taken out.
 * @param identifying values of the study (name, ID, birth date, accession number)
 */
export function peerWords(text: string | undefined, identifying: readonly string[]): string | undefined {
  if (!text) return undefined;
  let words = text
    .replace(/[^\x20-\x7e\u00a0-\uffff]/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  for (const value of identifying) {
    if (value.length < 3) continue;
    words = words.replace(new RegExp(value.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'), 'gi'), '***');
  }
  return words.slice(0, LONGEST) || undefined;
}
