/**
 * Cornerstone's window and level tool, but exact: the original adds 1 to the width of a LINEAR_EXACT window with each
 * movement of the mouse, which whites out images whose values are fractions. Added to the tools by cornerstone.ts.
 */
import type { Types } from '@cornerstonejs/core';
import { WindowLevelTool } from '@cornerstonejs/tools';
import { toRange, toWindow, type ValueRange, type VoiLutFunction } from './window-range.ts';

interface Drag extends ValueRange {
  viewport: Types.IStackViewport;
  volumeId: string | undefined;
  deltaPointsCanvas: Types.Point2;
  voiLutFunction: VoiLutFunction;
}

export class ExactWindowTool extends WindowLevelTool {
  static override toolName = 'ExactWindow';

  /** To the right widens the window, downwards raises its center, as on every workstation. */
  override getNewRange({
    viewport,
    volumeId,
    deltaPointsCanvas,
    lower,
    upper,
    voiLutFunction,
  }: Drag): ValueRange {
    const valuesPerPixel = this._getMultiplierFromDynamicRange(viewport, volumeId) || 1;
    const before = toWindow({ lower, upper }, voiLutFunction);
    const narrowest = voiLutFunction === 'LINEAR_EXACT' ? valuesPerPixel : 1;
    const width = Math.max(narrowest, before.width + deltaPointsCanvas[0] * valuesPerPixel);
    return toRange(width, before.center + deltaPointsCanvas[1] * valuesPerPixel, voiLutFunction);
  }
}
