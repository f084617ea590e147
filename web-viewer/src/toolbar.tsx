/** What the left mouse button does, and what is done at once. Above the picture; used by study-view.tsx. */
import { Icon, type IconName } from './icon.tsx';
import type { Stage, ToolName } from './stage.ts';
import { useStageState } from './use-stage-state.ts';
import { windowPresets } from './window-preset.ts';

const TOOLS: readonly { tool: ToolName; name: string; key: string }[] = [
  { tool: 'window', name: 'Window', key: 'W' },
  { tool: 'scroll', name: 'Scroll', key: 'S' },
  { tool: 'zoom', name: 'Zoom', key: 'Z' },
  { tool: 'pan', name: 'Pan', key: 'P' },
];

interface ToolbarProps {
  stage: Stage | undefined;
  modality: string;
  tool: ToolName;
  onTool: (tool: ToolName) => void;
}

export function Toolbar({ stage, modality, tool, onTool }: ToolbarProps) {
  const state = useStageState(stage);
  const presets = windowPresets(modality);
  return (
    <div className="toolbar" role="toolbar" aria-label="Viewer tools">
      <div className="toolbar-group">
        {TOOLS.map((one) => (
          <ToolButton
            key={one.tool}
            icon={one.tool}
            name={one.name}
            shortcut={one.key}
            pressed={one.tool === tool}
            disabled={!stage}
            onClick={() => onTool(one.tool)}
          />
        ))}
      </div>
      <div className="toolbar-group">
        <ToolButton
          icon="invert"
          name="Invert"
          shortcut="I"
          pressed={state?.inverted ?? false}
          disabled={!stage}
          onClick={() => stage?.toggleInvert()}
        />
        {state !== undefined && state.count > 1 && (
          <ToolButton
            icon={state.playing ? 'pause' : 'play'}
            name={state.playing ? 'Pause' : 'Play'}
            shortcut="space"
            pressed={state.playing}
            disabled={!stage}
            onClick={() => stage?.togglePlay()}
          />
        )}
        <ToolButton icon="reset" name="Reset" shortcut="R" disabled={!stage} onClick={() => stage?.reset()} />
      </div>
      {presets.length > 0 && (
        <fieldset className="toolbar-group">
          <legend className="visually-hidden">CT windows</legend>
          {presets.map((preset) => (
            <button
              key={preset.key}
              type="button"
              className="preset"
              title={`Width ${preset.width}, level ${preset.center} (key ${preset.key})`}
              aria-pressed={state?.window?.width === preset.width && state.window.center === preset.center}
              disabled={!stage}
              onClick={() => stage?.setWindow(preset.width, preset.center)}
            >
              <kbd>{preset.key}</kbd>
              {preset.name}
            </button>
          ))}
        </fieldset>
      )}
    </div>
  );
}

interface ToolButtonProps {
  icon: IconName;
  name: string;
  shortcut: string;
  pressed?: boolean;
  disabled: boolean;
  onClick: () => void;
}

function ToolButton({ icon, name, shortcut, pressed, disabled, onClick }: ToolButtonProps) {
  return (
    <button
      type="button"
      className="tool"
      title={`${name} (key ${shortcut})`}
      aria-pressed={pressed}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} />
      <span>{name}</span>
    </button>
  );
}
