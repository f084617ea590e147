/**
 * Brings one series from the archive, ready to be shown: its metadata once, the colour tables its frames need,
 * and the stack made of them. Called by study-view.tsx.
 */
import type { Dataset } from './dataset.ts';
import { ArchiveError, bulkData, frameUrl, seriesMetadata } from './dicomweb.ts';
import { createImageStack, type ImageStack } from './image-stack.ts';
import { withPalette } from './palette.ts';

export async function loadSeriesImages(
  studyUid: string,
  seriesUid: string,
  signal: AbortSignal,
): Promise<ImageStack> {
  const instances: Dataset[] = [];
  for (const instance of await seriesMetadata(studyUid, seriesUid, signal)) {
    instances.push(
      await withPalette(instance, (uri) => bulkData(uri, signal)).catch((error: unknown) => {
        // Without its colours the image fails in words of its own; the other images of the series do not.
        if (error instanceof ArchiveError) return instance;
        throw error;
      }),
    );
  }
  return createImageStack(instances, (sopUid, frame) => frameUrl(studyUid, seriesUid, sopUid, frame));
}
