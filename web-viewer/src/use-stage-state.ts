/** What a stage shows now, as React reads it. Called by the parts of the study view that follow the picture. */
import { useSyncExternalStore } from 'react';
import type { Stage, StageState } from './stage.ts';

export function useStageState(stage: Stage | undefined): StageState | undefined {
  return useSyncExternalStore(stage?.subscribe ?? listenToNothing, stage?.state ?? nothing);
}

function listenToNothing(): () => void {
  return nothing;
}

function nothing(): undefined {
  return undefined;
}
