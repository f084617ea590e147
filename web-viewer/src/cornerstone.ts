/**
 * Starts Cornerstone3D once for the life of the page: rendering, mouse tools, the WADO-RS loader with its decoders.
 * Called by stage.ts and thumbnail.tsx before they touch it.
 */
import { cache, init as startCore } from '@cornerstonejs/core';
import { init as startLoader, wadors } from '@cornerstonejs/dicom-image-loader';
import {
  addTool,
  PanTool,
  StackScrollTool,
  init as startTools,
  WindowLevelTool,
  ZoomTool,
} from '@cornerstonejs/tools';
import { text } from './dataset.ts';
import type { Frame } from './image-stack.ts';

/** Decoded frames kept in memory. A 600-slice CT of 512 x 512 takes 315 MB as it is shown. */
export const CACHE_BYTES = 768 * 1024 * 1024;

type WadorsMetadata = Parameters<typeof wadors.metaDataManager.add>[1];

let started = false;

export function startCornerstone(): void {
  if (started) return;
  started = true;
  // One picture at a time needs one WebGL context, not the seven that Cornerstone keeps by default.
  startCore({ rendering: { webGlContextCount: 1 }, debug: {} });
  startTools();
  startLoader({ maxWebWorkers: Math.min(4, Math.max(1, (navigator.hardwareConcurrency || 2) - 1)) });
  cache.setMaxCacheSize(CACHE_BYTES);
  for (const tool of [WindowLevelTool, PanTool, ZoomTool, StackScrollTool]) addTool(tool);
}

/** Lays the frames' data sets where the loader looks for them when it decodes. */
export function describeFrames(frames: readonly Frame[]): void {
  for (const { imageId, dataset } of frames) {
    // Cornerstone reads the modality without asking whether there is one; OT is what an object without one is.
    const modality = text(dataset, '00080060') || 'OT';
    const described = { ...dataset, '00080060': { vr: 'CS', Value: [modality] } };
    // The loader's type names a few elements it may find; a data set holds any.
    wadors.metaDataManager.add(imageId, described as unknown as WadorsMetadata);
  }
}

/** Gives back what a study held: decoded frames and their data sets. */
export function forgetFrames(): void {
  cache.purgeCache();
  wadors.metaDataManager.purge();
}
