/**
 * What a STOW-RS answers (PS3.18 10.5.3, Annex I.2): which instances were stored and which were not, and why. Pure.
 * The reasons in words cannot stand in the data set ((0000,0902) ErrorComment is a command element), so they go
 * into the Warning header and the archive's table of refusals.
 */
import type { DicomJson } from '../dicom/dicom-json.ts';
import { isUid } from '../dicom/uid.ts';
import { asFailure, causeCodes, type FailureKind } from '../failure.ts';

/** Failure Reason (0008,1197): PS3.18 table I.2-2, PS3.4 B.2.3 and PS3.7 Annex C. */
export const REASON = {
  outOfResources: 0xa700,
  mismatch: 0xa900,
  cannotUnderstand: 0xc000,
  processingFailure: 0x0110,
  transferSyntax: 0xc122,
} as const;

/** Warning Reason (0008,1196): PS3.18 table I.2-1. */
export const WARNING = { coercion: 0xb000 } as const;

export interface StoredPart {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  readonly studyUid: string;
  readonly seriesUid: string;
  /** A Warning Reason: stored, but not quite as it came. */
  readonly warning?: number;
}

export interface FailedPart {
  readonly sopClassUid?: string;
  readonly sopInstanceUid?: string;
  /** For the list of refusals. */
  readonly transferSyntaxUid?: string;
  readonly cause?: string | undefined;
  readonly kind: FailureKind;
  readonly reason: number;
  readonly sentence: string;
}

export function reasonOf(kind: FailureKind): number {
  switch (kind) {
    case 'no-space':
    case 'unavailable':
      return REASON.outOfResources;
    case 'mismatch':
      return REASON.mismatch;
    case 'internal':
      return REASON.processingFailure;
    case 'unsupported':
      return REASON.transferSyntax;
    default:
      return REASON.cannotUnderstand;
  }
}

/** @param of as far as it is known: what is no UID is left out */
export function failedPart(
  thrown: unknown,
  of: {
    sopClassUid?: string | undefined;
    sopInstanceUid?: string | undefined;
    transferSyntaxUid?: string | undefined;
  },
): FailedPart {
  const failure = asFailure(thrown);
  const { sopClassUid, sopInstanceUid, transferSyntaxUid } = of;
  return {
    ...(sopClassUid !== undefined && isUid(sopClassUid) && { sopClassUid }),
    ...(sopInstanceUid !== undefined && isUid(sopInstanceUid) && { sopInstanceUid }),
    ...(transferSyntaxUid !== undefined && { transferSyntaxUid }),
    cause: causeCodes(failure),
    kind: failure.kind,
    reason: reasonOf(failure.kind),
    sentence:
      failure.kind === 'internal' ? 'Something went wrong here while a part was stored' : failure.message,
  };
}

/**
 * 200 all stored, 202 some or with a warning, 409 none (table 10.5.3-1); a sender that should try again is told so when none was
 * stored for lack of room or of a part of this server.
 */
export function statusOf(stored: readonly StoredPart[], failed: readonly FailedPart[]): number {
  if (failed.length === 0) return stored.some(({ warning }) => warning !== undefined) ? 202 : 200;
  if (stored.length > 0) return 202;
  if (failed.every(({ kind }) => kind === 'no-space')) return 507;
  if (failed.every(({ kind }) => kind === 'unavailable' || kind === 'no-space')) return 503;
  return 409;
}

export function responseOf(
  base: string,
  studyUid: string | undefined,
  stored: readonly StoredPart[],
  failed: readonly FailedPart[],
): DicomJson {
  const uid = (value: string) => ({ vr: 'UI', Value: [value] });
  const studies = new Set(stored.map((part) => part.studyUid));
  const one = studyUid ?? (studies.size === 1 ? [...studies][0] : undefined);
  const named = failed.filter((part) => part.sopInstanceUid !== undefined);
  const nameless = failed.filter((part) => part.sopInstanceUid === undefined);
  return {
    ...(one !== undefined &&
      stored.length > 0 && { '00081190': { vr: 'UR', Value: [`${base}/studies/${one}`] } }),
    ...(named.length > 0 && {
      '00081198': {
        vr: 'SQ',
        Value: named.map((part) => ({
          ...(part.sopClassUid !== undefined && { '00081150': uid(part.sopClassUid) }),
          '00081155': uid(part.sopInstanceUid!),
          '00081197': { vr: 'US', Value: [part.reason] },
        })),
      },
    }),
    ...(stored.length > 0 && {
      '00081199': {
        vr: 'SQ',
        Value: stored.map((part) => ({
          '00081150': uid(part.sopClassUid),
          '00081155': uid(part.sopInstanceUid),
          ...(part.warning !== undefined && { '00081196': { vr: 'US', Value: [part.warning] } }),
          '00081190': {
            vr: 'UR',
            Value: [
              `${base}/studies/${part.studyUid}/series/${part.seriesUid}/instances/${part.sopInstanceUid}`,
            ],
          },
        })),
      },
    }),
    ...(nameless.length > 0 && {
      '0008119A': {
        vr: 'SQ',
        Value: nameless.map((part) => ({ '00081197': { vr: 'US', Value: [part.reason] } })),
      },
    }),
  };
}

const MOST_WARNINGS = 10;

/** The Warning header (PS3.18 10.5.3.2): the different sentences, a few at most. */
export function warningOf(failed: readonly FailedPart[]): string | undefined {
  const sentences = [...new Set(failed.map((part) => part.sentence))].slice(0, MOST_WARNINGS);
  if (sentences.length === 0) return undefined;
  return sentences
    .map(
      (sentence) =>
        `299 isocenter "${sentence
          .replace(/[^\x20-\x7e]/g, '?')
          .replace(/["\\]/g, "'")
          .slice(0, 300)}"`,
    )
    .join(', ');
}
