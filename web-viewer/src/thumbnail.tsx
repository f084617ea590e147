/**
 * A small picture of a series, from its middle. The server renders it (WADO-RS /rendered);
 * where it cannot, the frame itself is decoded here. Looked for once the card comes into sight.
 * Used by series-rail.tsx.
 */
import { utilities } from '@cornerstonejs/core';
import { useEffect, useRef, useState } from 'react';
import { startCornerstone } from './cornerstone.ts';
import { number, text } from './dataset.ts';
import { ArchiveError, frameUrl, instanceMetadata, middleInstance, renderedFrame } from './dicomweb.ts';
import { describeFrames } from './frame-loader.ts';
import { createImageStack, whyNotShown } from './image-stack.ts';
import type { Series } from './study.ts';

/** Twice the size on the page, for screens with two pixels to one of CSS. */
const SIZE = 192;

interface ThumbnailProps {
  studyUid: string;
  series: Series;
  /** What the series holds instead of pictures. */
  words: string | undefined;
}

type Picture =
  | { from: 'nowhere' }
  | { from: 'words'; words: string }
  | { from: 'server'; url: string }
  | { from: 'pixels'; sopUid: string };

export function Thumbnail({ studyUid, series, words }: ThumbnailProps) {
  const box = useRef<HTMLSpanElement>(null);
  const seen = useInSight(box);
  const [picture, setPicture] = useState<Picture>(
    words === undefined ? { from: 'nowhere' } : { from: 'words', words },
  );

  useEffect(() => {
    if (!seen || words !== undefined) return;
    const controller = new AbortController();
    let url: string | undefined;
    findPicture(studyUid, series, controller.signal).then(
      (found) => {
        if (controller.signal.aborted) return;
        if (found.from === 'server') url = URL.createObjectURL(found.blob);
        setPicture(found.from === 'server' ? { from: 'server', url: url ?? '' } : found);
      },
      // A card without a picture still opens its series, and opening it tells what is wrong in words.
      () => undefined,
    );
    return () => {
      controller.abort();
      if (url !== undefined) URL.revokeObjectURL(url);
    };
  }, [seen, words, studyUid, series]);

  return (
    <span ref={box} className="thumbnail">
      {picture.from === 'words' && <span className="thumbnail-words">{picture.words}</span>}
      {picture.from === 'server' && <img src={picture.url} alt="" decoding="async" />}
      {picture.from === 'pixels' && (
        <Decoded studyUid={studyUid} seriesUid={series.seriesInstanceUid} sopUid={picture.sopUid} />
      )}
    </span>
  );
}

async function findPicture(
  studyUid: string,
  series: Series,
  signal: AbortSignal,
): Promise<{ from: 'server'; blob: Blob } | Exclude<Picture, { from: 'server' }>> {
  const instance = await middleInstance(studyUid, series, signal);
  if (instance === undefined) return { from: 'nowhere' };
  const words = whyNotShown(instance);
  if (words !== undefined) return { from: 'words', words };
  const sopUid = text(instance, '00080018');
  const frame = Math.ceil((number(instance, '00280008') ?? 1) / 2);
  try {
    const blob = await renderedFrame(studyUid, series.seriesInstanceUid, sopUid, frame, SIZE, signal);
    return { from: 'server', blob };
  } catch (error) {
    if (error instanceof ArchiveError) return { from: 'pixels', sopUid };
    throw error;
  }
}

function Decoded({ studyUid, seriesUid, sopUid }: { studyUid: string; seriesUid: string; sopUid: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const controller = new AbortController();
    async function draw() {
      const metadata = await instanceMetadata(studyUid, seriesUid, sopUid, controller.signal);
      const frame = createImageStack(metadata, (uid, n) => frameUrl(studyUid, seriesUid, uid, n)).frames[0];
      if (frame === undefined || canvas.current === null) return;
      startCornerstone();
      describeFrames([frame]);
      await utilities.loadImageToCanvas({
        canvas: canvas.current,
        imageId: frame.imageId,
        imageAspect: true,
      });
    }
    // As above: the card stays without a picture.
    draw().catch(() => undefined);
    return () => controller.abort();
  }, [studyUid, seriesUid, sopUid]);
  return <canvas ref={canvas} width={SIZE} height={SIZE} />;
}

/** True from the moment the element has come near the visible part of the page. */
function useInSight(element: React.RefObject<HTMLElement | null>): boolean {
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    if (element.current === null) return;
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) {
          setSeen(true);
          observer.disconnect();
        }
      },
      { rootMargin: '200px' },
    );
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [element]);
  return seen;
}
