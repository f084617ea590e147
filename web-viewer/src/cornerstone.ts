/**
 * Starts Cornerstone3D once for the life of the page: rendering, mouse tools, the decoders and the loader of frames.
 * Called by stage.ts and thumbnail.tsx before they touch it.
 */
import { cache, registerImageLoader, init as startCore } from '@cornerstonejs/core';
import { init as startDecoders } from '@cornerstonejs/dicom-image-loader';
import { addTool, PanTool, StackScrollTool, init as startTools, ZoomTool } from '@cornerstonejs/tools';
import { loadFrame } from './frame-loader.ts';
import { ExactWindowTool } from './window-tool.ts';

/** Decoded frames kept in memory. A 600-slice CT of 512 x 512 takes 315 MB as it is shown. */
export const CACHE_BYTES = 768 * 1024 * 1024;

let started = false;

export function startCornerstone(): void {
  if (started) return;
  started = true;
  // One picture at a time needs one WebGL context, not the seven that Cornerstone keeps by default.
  startCore({ rendering: { webGlContextCount: 1 }, debug: {} });
  startTools();
  startDecoders({ maxWebWorkers: Math.min(4, Math.max(1, (navigator.hardwareConcurrency || 2) - 1)) });
  registerImageLoader('wadors', loadFrame);
  cache.setMaxCacheSize(CACHE_BYTES);
  for (const tool of [ExactWindowTool, PanTool, ZoomTool, StackScrollTool]) addTool(tool);
}
