/**
 * Which transfer syntax a rule sends in, and how much may be lost on the way there. Compiled by transform.ts;
 * forwarding/ways-out.ts proposes it to the peer, forwarding/recoded-object.ts makes it.
 */
import { LOSSY, type Loss, type LossMeasure, NAMED } from '../dicom/encodings.ts';
import { Failure } from '../failure.ts';

export interface TranscodeSettings {
  /** By UID, or by the keyword of PS3.6 Table A-1. */
  readonly to: string;
  readonly quality?: number | undefined;
  readonly ratio?: number | undefined;
  readonly maxError?: number | undefined;
  /** What becomes of images that cannot be sent so, or that the peer does not take so. */
  readonly otherwise: 'send' | 'refuse';
}

export interface Transcode {
  readonly to: string;
  readonly loss: Loss | undefined;
  readonly otherwise: 'send' | 'refuse';
}

const MEASURES: readonly LossMeasure[] = ['quality', 'ratio', 'maxError'];

/** @throws Failure 'invalid' for a syntax that nothing is sent in by rule, or settings that are not its own */
export function compileTranscode({ to, otherwise, ...given }: TranscodeSettings): Transcode {
  const named = Object.entries(NAMED).find(([keyword, uid]) => to === keyword || to === uid);
  if (!named)
    throw new Failure(
      'invalid',
      `"${to}" is no transfer syntax that objects are changed to; these are ${Object.keys(NAMED).join(', ')}`,
    );
  const [keyword, uid] = named;
  const measure = LOSSY[uid];
  const wrong = MEASURES.find((one) => one !== measure && given[one] !== undefined);
  if (wrong)
    throw new Failure(
      'invalid',
      measure
        ? `"${wrong}" says nothing of ${keyword}; how much may be lost is said by "${measure}"`
        : `${keyword} loses nothing, so "${wrong}" says nothing of it`,
    );
  if (!measure) return { to: uid, loss: undefined, otherwise };
  const value = given[measure];
  if (value === undefined)
    throw new Failure('invalid', `${keyword} loses information; how much is said by "${measure}"`);
  return { to: uid, loss: { [measure]: value } as Loss, otherwise };
}
