/**
 * The keys of the study view. Called by study-view.tsx; they work wherever the focus is, except while typing.
 */
import { useEffect } from 'react';
import type { Stage, ToolName } from './stage.ts';
import { windowPresets } from './window-preset.ts';

const TOOL_KEYS: Readonly<Record<string, ToolName>> = { w: 'window', s: 'scroll', z: 'zoom', p: 'pan' };

export function useShortcuts(
  stage: Stage | undefined,
  modality: string,
  onTool: (tool: ToolName) => void,
): void {
  useEffect(() => {
    function onKey(event: KeyboardEvent) {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      // A focused button keeps the key that presses it.
      if (event.key === ' ' && event.target instanceof HTMLButtonElement) return;
      if (act(event.key)) event.preventDefault();
    }

    /** True when the key meant something. */
    function act(key: string): boolean {
      const tool = TOOL_KEYS[key.toLowerCase()];
      if (tool !== undefined) {
        onTool(tool);
        return true;
      }
      if (stage === undefined) return false;
      const preset = windowPresets(modality).find((one) => one.key === key);
      const { wanted } = stage.state();
      if (preset) stage.setWindow(preset.width, preset.center);
      else if (key === 'ArrowDown' || key === 'ArrowRight') stage.goTo(wanted + 1);
      else if (key === 'ArrowUp' || key === 'ArrowLeft') stage.goTo(wanted - 1);
      else if (key === 'PageDown') stage.goTo(wanted + 10);
      else if (key === 'PageUp') stage.goTo(wanted - 10);
      else if (key === 'Home') stage.goTo(0);
      else if (key === 'End') stage.goTo(Number.MAX_SAFE_INTEGER);
      else if (key === ' ') stage.togglePlay();
      else if (key === 'i' || key === 'I') stage.toggleInvert();
      else if (key === 'r' || key === 'R') stage.reset();
      else if (key === '+' || key === '=') stage.zoomBy(1.25);
      else if (key === '-') stage.zoomBy(0.8);
      else return false;
      return true;
    }

    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [stage, modality, onTool]);
}

function isTyping(target: EventTarget | null): boolean {
  if (target instanceof HTMLInputElement) return target.type !== 'range';
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}
