/**
 * The place where a series is looked at: the picture, the words in its corners and the slider beside it.
 * Used by study-view.tsx, which is given the stage as long as this is mounted.
 */
import { useEffect, useRef, useState } from 'react';
import { CornerText } from './corner-text.tsx';
import type { ImageStack } from './image-stack.ts';
import { Notice } from './notice.tsx';
import { SliceSlider } from './slice-slider.tsx';
import { createStage, type Stage } from './stage.ts';
import { useStageState } from './use-stage-state.ts';
import './image-viewport.css';

interface ImageViewportProps {
  stack: ImageStack;
  onStage: (stage: Stage | undefined) => void;
}

export function ImageViewport({ stack, onStage }: ImageViewportProps) {
  const element = useRef<HTMLDivElement>(null);
  const [stage, setStage] = useState<Stage | undefined>(undefined);

  useEffect(() => {
    if (element.current === null) return;
    const created = createStage(element.current);
    created.show(stack);
    setStage(created);
    onStage(created);
    return () => {
      setStage(undefined);
      onStage(undefined);
      created.destroy();
    };
  }, [stack, onStage]);

  const state = useStageState(stage);
  const frame = state?.shown === undefined ? undefined : stack.frames[state.shown];
  const waiting = state !== undefined && state.failure === undefined && state.shown !== state.wanted;
  return (
    <div className="viewport">
      <div className="viewport-picture">
        <div ref={element} className="viewport-canvas" />
        {state && frame && state.failure === undefined && (
          <CornerText frame={frame} stack={stack} state={state} />
        )}
        {waiting && (
          <p className="viewport-waiting" role="status">
            Loading {state.wanted + 1} of {stack.frames.length}
          </p>
        )}
        {state?.failure !== undefined && (
          <div className="viewport-failure">
            <Notice alert title={`Image ${state.wanted + 1} of ${stack.frames.length}`}>
              {state.failure}
            </Notice>
          </div>
        )}
      </div>
      {stage && state && stack.frames.length > 1 && (
        <SliceSlider count={stack.frames.length} index={state.wanted} onGoTo={stage.goTo} />
      )}
    </div>
  );
}
