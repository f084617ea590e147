/**
 * Window Width and Window Center as the range of values from black to white, and back (PS3.3 C.11.2.1.2 and C.11.2.1.3).
 * Pure; called by stage.ts, frame-loader.ts and window-tool.ts.
 */
import { type Dataset, number, text } from './dataset.ts';

export type VoiLutFunction = 'LINEAR' | 'LINEAR_EXACT' | 'SIGMOID';

export interface ValueRange {
  lower: number;
  upper: number;
}

/** LINEAR counts values, so that a window of width 1 holds one; LINEAR_EXACT measures them. */
export function toRange(width: number, center: number, curve: VoiLutFunction): ValueRange {
  if (curve === 'LINEAR_EXACT') return { lower: center - width / 2, upper: center + width / 2 };
  return { lower: center - 0.5 - (width - 1) / 2, upper: center - 0.5 + (width - 1) / 2 };
}

export function toWindow(range: ValueRange, curve: VoiLutFunction): { width: number; center: number } {
  const middle = (range.lower + range.upper) / 2;
  const span = range.upper - range.lower;
  return curve === 'LINEAR_EXACT'
    ? { width: span, center: middle }
    : { width: span + 1, center: middle + 0.5 };
}

/**
 * VOI LUT Function (0028,1056). Modalities with fractional values write LINEAR windows narrower than 1, which would
 * turn black into white; they mean LINEAR_EXACT.
 */
export function voiLutFunction(dataset: Dataset): VoiLutFunction {
  const named = text(dataset, '00281056');
  if (named === 'SIGMOID' || named === 'LINEAR_EXACT') return named;
  return (number(dataset, '00281051') ?? 1) < 1 ? 'LINEAR_EXACT' : 'LINEAR';
}
