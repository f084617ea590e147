/**
 * Turns the metadata of one series (WADO-RS /metadata) into the stack of frames a person scrolls through,
 * and names what the series holds besides pictures.
 * Called by study-view.tsx; the frames go to stage.ts, their data sets to Cornerstone's loader.
 */
import { type Dataset, items, number, numbers, text } from './dataset.ts';
import { inReadingOrder, type Placed } from './slice-order.ts';
import { sopClassName } from './sop-class-name.ts';

export interface Frame extends Placed {
  imageId: string;
  /** The data set of this frame: the object's, with the frame's functional groups laid over it. */
  dataset: Dataset;
}

/** Objects of the series that cannot be shown as pictures: what they are, and how many. */
export interface NotShown {
  words: string;
  count: number;
  /** SOP Instance UIDs of those that the archive renders as a page or a document (PS3.18 10.4.1.1.3). */
  readable: string[];
}

export interface ImageStack {
  modality: string;
  frames: Frame[];
  notShown: NotShown[];
}

/** `frameUrl` names where a frame's pixels are: (SOP Instance UID, frame from 1) to URL. */
export function createImageStack(
  instances: readonly Dataset[],
  frameUrl: (sopUid: string, frame: number) => string,
): ImageStack {
  const frames: Frame[] = [];
  const notShown = new Map<string, NotShown>();
  for (const instance of instances) {
    const sopInstanceUid = text(instance, '00080018');
    const words = whyNotShown(instance);
    if (words !== undefined) {
      const kind = notShown.get(words) ?? { words, count: 0, readable: [] };
      notShown.set(words, kind);
      kind.count++;
      if (READABLE.test(text(instance, '00080016'))) kind.readable.push(sopInstanceUid);
      continue;
    }
    const count = Math.max(1, number(instance, '00280008') ?? 1);
    const base = withoutFunctionalGroups(instance);
    const shared = items(instance, '52009229')[0];
    const perFrame = items(instance, '52009230');
    for (let frameNumber = 1; frameNumber <= count; frameNumber++) {
      const dataset = { ...base, ...groupsOf(shared), ...groupsOf(perFrame[frameNumber - 1]) };
      frames.push({
        imageId: `wadors:${frameUrl(sopInstanceUid, frameNumber)}`,
        sopInstanceUid,
        frameNumber,
        instanceNumber: number(dataset, '00200013'),
        position: numbers(dataset, '00200032'),
        orientation: numbers(dataset, '00200037'),
        dataset,
      });
    }
  }
  const modality = instances[0] ? text(instances[0], '00080060') : '';
  return {
    modality,
    frames: inReadingOrder(frames),
    notShown: [...notShown.values()],
  };
}

/** Transfer syntaxes that carry a film, which browsers play but the decoders of pictures do not (PS3.5 10.8 to 10.11). */
const VIDEO = /^1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.1)?$/;
/** Structured reports, encapsulated PDF and CDA. */
const READABLE = /^1\.2\.840\.10008\.5\.1\.4\.1\.1\.(88\.\d+|104\.[12])$/;
const PARAMETRIC_MAP = '1.2.840.10008.5.1.4.1.1.30';
/** Segmentation and Label Map Segmentation: masks that mean something only over the images they belong to. */
const SEGMENTATION = /^1\.2\.840\.10008\.5\.1\.4\.1\.1\.66\.[47]$/;

/** What an object is, when it is no picture that can be shown; undefined when it is. */
export function whyNotShown(instance: Dataset): string | undefined {
  const sopClass = text(instance, '00080016');
  const name = sopClassName(sopClass);
  if (number(instance, '00280010') === undefined || number(instance, '00280011') === undefined) return name;
  if (SEGMENTATION.test(sopClass)) return name;
  if (sopClass === PARAMETRIC_MAP) return `${name} (floating point values)`;
  if (number(instance, '00280100') === 1) return 'Image of one bit a pixel';
  if (VIDEO.test(text(instance, '00083002'))) return 'Video';
  return undefined;
}

/**
 * The object without its functional groups and frame count. Cornerstone's own way of combining them writes each
 * frame's values into the object they share, so that a frame without a value shows its neighbour's.
 */
function withoutFunctionalGroups(instance: Dataset): Dataset {
  const { '52009229': _shared, '52009230': _perFrame, '00280008': _count, ...rest } = instance;
  return rest;
}

/** The attributes inside the first item of each functional group macro (PS3.3 C.7.6.16), laid side by side. */
function groupsOf(functionalGroups: Dataset | undefined): Dataset {
  if (functionalGroups === undefined) return {};
  return Object.assign(
    {},
    ...Object.keys(functionalGroups).map((tag) => items(functionalGroups, tag)[0] ?? {}),
  );
}
