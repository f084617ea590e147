/**
 * A small picture of a series, from its middle. The server renders it (WADO-RS /rendered);
 * where it cannot, the frame itself is decoded here. Looked for once the card comes into sight.
 * Used by series-rail.tsx.
 */
import { utilities } from '@cornerstonejs/core';
import { useEffect, useRef, useState } from 'react';
import { describeFrames, startCornerstone } from './cornerstone.ts';
import { number, text } from './dataset.ts';
import { frameUrl, instanceMetadata, middleInstance, renderedUrl } from './dicomweb.ts';
import { createImageStack } from './image-stack.ts';
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
  | { from: 'server'; sopUid: string; frame: number }
  | { from: 'pixels'; sopUid: string };

export function Thumbnail({ studyUid, series, words }: ThumbnailProps) {
  const box = useRef<HTMLSpanElement>(null);
  const seen = useInSight(box);
  const [picture, setPicture] = useState<Picture>({ from: 'nowhere' });

  useEffect(() => {
    if (!seen || words !== undefined) return;
    const controller = new AbortController();
    middleInstance(studyUid, series, controller.signal).then(
      (instance) => {
        if (instance === undefined) return;
        const frame = Math.ceil((number(instance, '00280008') ?? 1) / 2);
        setPicture({ from: 'server', sopUid: text(instance, '00080018'), frame });
      },
      // A card without a picture still opens its series, and opening it tells what is wrong in words.
      () => undefined,
    );
    return () => controller.abort();
  }, [seen, words, studyUid, series]);

  return (
    <span ref={box} className="thumbnail">
      {words !== undefined && <span className="thumbnail-words">{words}</span>}
      {picture.from === 'server' && (
        <img
          src={renderedUrl(studyUid, series.seriesInstanceUid, picture.sopUid, picture.frame, SIZE)}
          alt=""
          decoding="async"
          onError={() => setPicture({ from: 'pixels', sopUid: picture.sopUid })}
        />
      )}
      {picture.from === 'pixels' && (
        <Decoded studyUid={studyUid} seriesUid={series.seriesInstanceUid} sopUid={picture.sopUid} />
      )}
    </span>
  );
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
      await utilities.loadImageToCanvas({ canvas: canvas.current, imageId: frame.imageId, thumbnail: true });
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
