/**
 * The stage a series is shown on: one Cornerstone stack viewport with its mouse tools, told what to show in plain calls,
 * and telling what is to be seen in one value that React reads. Created by image-viewport.tsx, one per mount.
 * Pixels come through frame-loader.ts into Cornerstone's cache; nothing here asks the archive itself.
 */
import { cache, Enums, eventTarget, imageLoader, RenderingEngine, type Types } from '@cornerstonejs/core';
import {
  PanTool,
  StackScrollTool,
  Enums as ToolEnums,
  ToolGroupManager,
  ZoomTool,
} from '@cornerstonejs/tools';
import { createCine, frameRate } from './cine.ts';
import { CACHE_BYTES, startCornerstone } from './cornerstone.ts';
import { text, texts } from './dataset.ts';
import { ArchiveError } from './dicomweb.ts';
import { describeFrames } from './frame-loader.ts';
import type { Frame, ImageStack } from './image-stack.ts';
import { type EdgeLetters, lettersFromDirections, lettersFromPatientOrientation } from './orientation.ts';
import { createPrefetch, prefetchOrder } from './prefetch.ts';
import { toRange, toWindow, type VoiLutFunction } from './window-range.ts';
import { ExactWindowTool } from './window-tool.ts';

export type ToolName = 'window' | 'scroll' | 'zoom' | 'pan';

export interface StageState {
  /** The frame that is to be seen now, by its index in the stack; undefined until the first is drawn. */
  shown: number | undefined;
  /** The frame that was asked for last; differs from `shown` while it is on its way. */
  wanted: number;
  window: { width: number; center: number } | undefined;
  /** Screen pixels (CSS) for one pixel of the image. */
  zoom: number | undefined;
  /** Relative to how the image asks to be shown. */
  inverted: boolean;
  letters: EdgeLetters | undefined;
  /** Why the wanted frame is not there, in a sentence. */
  failure: string | undefined;
  /** How many frames the stack has. */
  count: number;
  playing: boolean;
}

export interface Stage {
  show(stack: ImageStack): void;
  goTo(index: number): void;
  chooseTool(tool: ToolName): void;
  setWindow(width: number, center: number): void;
  toggleInvert(): void;
  zoomBy(factor: number): void;
  reset(): void;
  togglePlay(): void;
  state(): StageState;
  /** Calls back after each change of state; answers how to stop. */
  subscribe(listener: () => void): () => void;
  destroy(): void;
}

const TOOLS: Readonly<Record<ToolName, string>> = {
  window: ExactWindowTool.toolName,
  scroll: StackScrollTool.toolName,
  zoom: ZoomTool.toolName,
  pan: PanTool.toolName,
};

const EMPTY: StageState = {
  shown: undefined,
  wanted: 0,
  window: undefined,
  zoom: undefined,
  inverted: false,
  letters: undefined,
  failure: undefined,
  count: 0,
  playing: false,
};

/** No more frames than this are fetched ahead, and no more bytes than half the cache. */
const PREFETCH_FRAMES = 600;

let stages = 0;

export function createStage(element: HTMLDivElement): Stage {
  startCornerstone();
  const id = `stage-${++stages}`;
  const engine = new RenderingEngine(id);
  engine.enableElement({
    viewportId: id,
    type: Enums.ViewportType.STACK,
    element,
    defaultOptions: { background: [0, 0, 0] },
  });
  const viewport = engine.getViewport(id) as Types.IStackViewport;
  const tools = createToolGroup(id);
  const prefetch = createPrefetch((imageId) =>
    imageLoader.loadAndCacheImage(imageId, {
      priority: 10,
      requestType: Enums.RequestType.Prefetch,
    }),
  );

  const cine = createCine(() => {
    const busy = state.shown !== state.wanted && state.failure === undefined;
    if (!busy) viewport.scroll(1, false, true);
  });

  let frames: Frame[] = [];
  let state = EMPTY;
  const listeners = new Set<() => void>();

  function change(part: Partial<StageState>): void {
    state = { ...state, ...part };
    for (const listener of listeners) listener();
  }

  function curve(): VoiLutFunction {
    const named = viewport.getProperties().VOILUTFunction;
    return named === 'SIGMOID' || named === 'LINEAR_EXACT' ? named : 'LINEAR';
  }

  function readViewport(): Partial<StageState> {
    const { voiRange, invert } = viewport.getProperties();
    return {
      window: voiRange && toWindow(voiRange, curve()),
      inverted: (invert ?? false) !== isMonochrome1(frames[viewport.getCurrentImageIdIndex()]),
      zoom: zoomOf(viewport),
      letters: lettersOf(viewport, frames[viewport.getCurrentImageIdIndex()]),
    };
  }

  function onNewImage(event: Event): void {
    const { imageIdIndex } = (event as CustomEvent<{ imageIdIndex: number }>).detail;
    const direction = imageIdIndex < (state.shown ?? 0) ? -1 : 1;
    change({ ...readViewport(), shown: imageIdIndex, wanted: imageIdIndex, failure: undefined });
    const frameBytes = Math.max(1, viewport.getCornerstoneImage()?.sizeInBytes ?? 1);
    const limit = Math.min(PREFETCH_FRAMES, Math.floor(CACHE_BYTES / 2 / frameBytes));
    const order = prefetchOrder(imageIdIndex, frames.length, limit, direction);
    prefetch.aim(order.map((index) => frames[index]!.imageId).filter((imageId) => !cache.isLoaded(imageId)));
  }

  function onViewChanged(): void {
    if (state.shown !== undefined) change(readViewport());
  }

  function onScroll(event: Event): void {
    const { newImageIdIndex } = (event as CustomEvent<{ newImageIdIndex: number }>).detail;
    change({ wanted: newImageIdIndex });
  }

  function onLoadError(event: Event): void {
    const { detail } = event as CustomEvent<{ imageId: string; error: unknown } | PromiseRejectedResult[]>;
    const current = viewport.getCurrentImageIdIndex();
    // A list comes from a viewport that could not draw what it had loaded. There is one viewport.
    const error = Array.isArray(detail) ? detail[0]?.reason : detail.error;
    if (!Array.isArray(detail) && detail.imageId !== frames[current]?.imageId) return;
    change({ wanted: current, failure: sentenceFor(error) });
  }

  // The right button zooms.
  element.addEventListener('contextmenu', preventDefault);
  element.addEventListener(Enums.Events.STACK_NEW_IMAGE, onNewImage);
  element.addEventListener(Enums.Events.STACK_VIEWPORT_SCROLL, onScroll);
  element.addEventListener(Enums.Events.VOI_MODIFIED, onViewChanged);
  element.addEventListener(Enums.Events.CAMERA_MODIFIED, onViewChanged);
  eventTarget.addEventListener(Enums.Events.IMAGE_LOAD_ERROR, onLoadError);
  const resized = new ResizeObserver(() => {
    engine.resize(true, true);
    onViewChanged();
  });
  resized.observe(element);

  return {
    show(stack) {
      prefetch.stop();
      frames = stack.frames;
      cine.pause();
      change({ ...EMPTY, count: frames.length });
      if (frames.length === 0) return;
      describeFrames(frames);
      const imageIds = frames.map((frame) => frame.imageId);
      // A frame that fails is told through IMAGE_LOAD_ERROR; the promise settles all the same.
      void viewport.setStack(imageIds, 0);
    },
    goTo(index) {
      const delta = Math.max(0, Math.min(frames.length - 1, index)) - viewport.getTargetImageIdIndex();
      if (frames.length > 0 && delta !== 0) viewport.scroll(delta);
    },
    chooseTool(tool) {
      tools.chooseTool(tool);
    },
    setWindow(width, center) {
      viewport.setProperties({ voiRange: toRange(width, center, curve()) });
      viewport.render();
    },
    toggleInvert() {
      viewport.setProperties({ invert: !viewport.getProperties().invert });
      viewport.render();
      onViewChanged();
    },
    zoomBy(factor) {
      viewport.setZoom(viewport.getZoom() * factor);
      viewport.render();
    },
    reset() {
      viewport.resetProperties();
      viewport.resetCamera();
      viewport.render();
      onViewChanged();
    },
    togglePlay() {
      const frame = frames[state.wanted];
      if (cine.playing()) cine.pause();
      else if (frame !== undefined && frames.length > 1) cine.play(frameRate(frame.dataset));
      change({ playing: cine.playing() });
    },
    state: () => state,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    destroy() {
      cine.pause();
      prefetch.stop();
      listeners.clear();
      resized.disconnect();
      element.removeEventListener('contextmenu', preventDefault);
      element.removeEventListener(Enums.Events.STACK_NEW_IMAGE, onNewImage);
      element.removeEventListener(Enums.Events.STACK_VIEWPORT_SCROLL, onScroll);
      element.removeEventListener(Enums.Events.VOI_MODIFIED, onViewChanged);
      element.removeEventListener(Enums.Events.CAMERA_MODIFIED, onViewChanged);
      eventTarget.removeEventListener(Enums.Events.IMAGE_LOAD_ERROR, onLoadError);
      tools.destroy();
      engine.destroy();
    },
  };
}

/** Left button: the chosen tool. Middle: pan. Right: zoom. Wheel: scroll. Two fingers: zoom and pan. */
function createToolGroup(id: string): { chooseTool(tool: ToolName): void; destroy(): void } {
  const { MouseBindings } = ToolEnums;
  const group = ToolGroupManager.createToolGroup(id);
  if (group === undefined) throw new Error(`A tool group named ${id} stands already.`);
  for (const name of Object.values(TOOLS)) group.addTool(name);
  group.addViewport(id, id);
  const standing: Readonly<Record<ToolName, object[]>> = {
    window: [],
    scroll: [{ mouseButton: MouseBindings.Wheel }],
    zoom: [{ mouseButton: MouseBindings.Secondary }, { numTouchPoints: 2 }],
    pan: [{ mouseButton: MouseBindings.Auxiliary }],
  };
  return {
    chooseTool(chosen) {
      for (const tool of Object.keys(TOOLS) as ToolName[]) {
        group.setToolPassive(TOOLS[tool], { removeAllBindings: true });
        const bindings =
          tool === chosen ? [{ mouseButton: MouseBindings.Primary }, ...standing[tool]] : standing[tool];
        if (bindings.length > 0) group.setToolActive(TOOLS[tool], { bindings });
      }
    },
    destroy() {
      ToolGroupManager.destroyToolGroup(id);
    },
  };
}

function sentenceFor(error: unknown): string {
  return error instanceof ArchiveError
    ? error.message
    : 'The pixels of this image could not be decoded or drawn.';
}

function isMonochrome1(frame: Frame | undefined): boolean {
  return frame !== undefined && text(frame.dataset, '00280004') === 'MONOCHROME1';
}

function preventDefault(event: Event): void {
  event.preventDefault();
}

/** How many screen pixels one pixel of the image takes, measured on the screen itself. */
function zoomOf(viewport: Types.IStackViewport): number | undefined {
  const image = viewport.getImageData();
  if (!image) return undefined;
  const { origin, direction, spacing } = image;
  const step = spacing[0];
  const beside: Types.Point3 = [
    origin[0] + direction[0] * step,
    origin[1] + direction[1] * step,
    origin[2] + direction[2] * step,
  ];
  const [x0, y0] = viewport.worldToCanvas(origin);
  const [x1, y1] = viewport.worldToCanvas(beside);
  return Math.hypot(x1 - x0, y1 - y0);
}

/** Only what the data set says itself: Cornerstone assumes an axial slice where it says nothing. */
function lettersOf(viewport: Types.IStackViewport, frame: Frame | undefined): EdgeLetters | undefined {
  if (frame === undefined) return undefined;
  if (frame.orientation?.length !== 6) {
    return lettersFromPatientOrientation(texts(frame.dataset, '00200020'));
  }
  // Positions of these have no patient behind them (PS3.3 C.7.6.2.1.1 asks for a frame of reference).
  if (text(frame.dataset, '00080060') === 'SM') return undefined;
  const { viewUp, viewPlaneNormal } = viewport.getCamera();
  if (!viewUp || !viewPlaneNormal) return undefined;
  const [ux, uy, uz] = viewUp;
  const [nx, ny, nz] = viewPlaneNormal;
  const right = [uy * nz - uz * ny, uz * nx - ux * nz, ux * ny - uy * nx];
  return lettersFromDirections(right, [-ux, -uy, -uz]);
}
