/** What is worked out about a picture before it is drawn: its frames, its letters, its window, its colours, its bytes. */
import { describe, expect, it } from 'vitest';
import type { Dataset } from '../../web-viewer/src/dataset.ts';
import { createImageStack } from '../../web-viewer/src/image-stack.ts';
import { onlyPart } from '../../web-viewer/src/multipart.ts';
import { lettersFromDirections, lettersFromPatientOrientation } from '../../web-viewer/src/orientation.ts';
import { withPalette } from '../../web-viewer/src/palette.ts';
import { createPrefetch, prefetchOrder } from '../../web-viewer/src/prefetch.ts';
import { firstToRead, type Series } from '../../web-viewer/src/study.ts';
import { toRange, toWindow, voiLutFunction } from '../../web-viewer/src/window-range.ts';
import { rgbFromYbr422 } from '../../web-viewer/src/ybr-422.ts';

function image(sopUid: string, more: Dataset = {}): Dataset {
  return {
    '00080016': { vr: 'UI', Value: ['1.2.840.10008.5.1.4.1.1.2'] },
    '00080018': { vr: 'UI', Value: [sopUid] },
    '00080060': { vr: 'CS', Value: ['CT'] },
    '00280010': { vr: 'US', Value: [4] },
    '00280011': { vr: 'US', Value: [4] },
    ...more,
  };
}

const frameUrl = (sopUid: string, frame: number) => `http://archive/${sopUid}/frames/${frame}`;

describe('a stack', () => {
  it('makes a frame of each frame of a multi-frame object, each with its own functional groups', () => {
    const plane = (z: number) => ({ '00209113': { Value: [{ '00200032': { Value: [0, 0, z] } }] } });
    const stack = createImageStack(
      [
        image('1.2', {
          '00280008': { vr: 'IS', Value: [3] },
          '52009229': { Value: [{ '00209116': { Value: [{ '00200037': { Value: [1, 0, 0, 0, 1, 0] } }] } }] },
          // The second frame says nothing of its place and must not inherit the first's.
          '52009230': { Value: [plane(10), {}, plane(5)] },
        }),
      ],
      frameUrl,
    );
    expect(stack.frames.map((frame) => [frame.frameNumber, frame.position?.[2]])).toEqual([
      [1, 10],
      [2, undefined],
      [3, 5],
    ]);
    expect(stack.frames[0]?.imageId).toBe('wadors:http://archive/1.2/frames/1');
    expect(stack.frames[0]?.dataset['52009230']).toBeUndefined();
    expect(stack.frames.every((frame) => frame.orientation?.length === 6)).toBe(true);
  });

  it('says in words what is no picture, and counts it', () => {
    const report = (sopUid: string): Dataset => ({
      '00080016': { Value: ['1.2.840.10008.5.1.4.1.1.88.11'] },
      '00080018': { Value: [sopUid] },
    });
    const mask = image('1.5', { '00080016': { Value: ['1.2.840.10008.5.1.4.1.1.66.4'] } });
    const film = image('1.6', { '00083002': { Value: ['1.2.840.10008.1.2.4.102'] } });
    const stack = createImageStack([report('1.3'), image('1.4'), report('1.7'), mask, film], frameUrl);
    expect(stack.frames.map((frame) => frame.sopInstanceUid)).toEqual(['1.4']);
    expect(stack.notShown).toEqual([
      { words: 'Report (basic text)', count: 2, readable: ['1.3', '1.7'] },
      { words: 'Segmentation', count: 1, readable: [] },
      { words: 'Video', count: 1, readable: [] },
    ]);
  });

  it('opens the first volume of a study, not its scout, and a report only when nothing else is there', () => {
    const series = (uid: string, modality: string, instanceCount: number): Series => ({
      seriesInstanceUid: uid,
      number: 1,
      modality,
      description: '',
      instanceCount,
    });
    const report = series('sr', 'SR', 1);
    const scout = series('scout', 'CT', 1);
    const volume = series('volume', 'CT', 28);
    expect(firstToRead([report, scout, volume])?.seriesInstanceUid).toBe('volume');
    expect(firstToRead([report, scout])?.seriesInstanceUid).toBe('scout');
    const segmentation = { ...volume, modality: 'SEG', seriesInstanceUid: 'seg' };
    expect(firstToRead([segmentation, scout])?.seriesInstanceUid).toBe('scout');
    expect(firstToRead([report])?.seriesInstanceUid).toBe('sr');
    expect(firstToRead([])).toBeUndefined();
  });
});

describe('edge letters', () => {
  it('name the patient on a slice', () => {
    expect(lettersFromDirections([1, 0, 0], [0, 1, 0])).toEqual({
      right: 'L',
      left: 'R',
      bottom: 'P',
      top: 'A',
    });
    expect(lettersFromDirections([0, 1, 0], [0, 0, -1])).toEqual({
      right: 'P',
      left: 'A',
      bottom: 'F',
      top: 'H',
    });
  });

  it('name two directions on an oblique slice, the stronger first, and leave out the slight', () => {
    expect(lettersFromDirections([0.8, 0.6, 0.05], [0, 0, -1])).toMatchObject({ right: 'LP', left: 'RA' });
    expect(lettersFromDirections([0.99, 0.1, 0], [0, 1, 0])).toMatchObject({ right: 'L' });
  });

  it('follow Patient Orientation on a projection, and are absent where it says nothing', () => {
    expect(lettersFromPatientOrientation(['L', 'F'])).toEqual({
      right: 'L',
      left: 'R',
      bottom: 'F',
      top: 'H',
    });
    expect(lettersFromPatientOrientation(['', ''])).toBeUndefined();
    expect(lettersFromPatientOrientation([])).toBeUndefined();
  });
});

describe('a window', () => {
  it('is the range of PS3.3 C.11.2.1.2 and comes back from it', () => {
    expect(toRange(400, 40, 'LINEAR')).toEqual({ lower: -160, upper: 239 });
    expect(toRange(400, 40, 'LINEAR_EXACT')).toEqual({ lower: -160, upper: 240 });
    for (const curve of ['LINEAR', 'LINEAR_EXACT', 'SIGMOID'] as const) {
      expect(toWindow(toRange(0.5, 0.25, curve), curve)).toEqual({ width: 0.5, center: 0.25 });
    }
  });

  it('of less than one value is taken as exact, because LINEAR would turn it over', () => {
    const narrow: Dataset = { '00281051': { Value: ['0.2146'] } };
    expect(voiLutFunction(narrow)).toBe('LINEAR_EXACT');
    expect(voiLutFunction({ '00281051': { Value: [1] } })).toBe('LINEAR');
    expect(voiLutFunction({ '00281056': { Value: ['SIGMOID'] } })).toBe('SIGMOID');
  });
});

describe('colours', () => {
  it('of YBR_FULL_422 are those of PS3.3 C.7.6.3.1.2', () => {
    // Two grey pixels, then two of pure red (Y 76, Cb 85, Cr 255).
    const rgb = rgbFromYbr422(Uint8Array.of(10, 200, 128, 128, 76, 76, 85, 255), 4);
    expect([...rgb.subarray(0, 6)]).toEqual([10, 10, 10, 200, 200, 200]);
    for (const at of [6, 9]) {
      expect(rgb[at]).toBeGreaterThan(250);
      expect(rgb[at + 1]).toBeLessThan(5);
      expect(rgb[at + 2]).toBeLessThan(5);
    }
  });

  it('of a palette come inline as words, or from bulk data as bytes where an entry has eight bits', async () => {
    const asked: string[] = [];
    const dataset: Dataset = {
      '00280004': { Value: ['PALETTE COLOR'] },
      '00281101': { Value: [2, 0, 16] },
      '00281201': { InlineBinary: btoa('\x00\x01\xff\xff') },
      '00281102': { Value: [2, 0, 8] },
      '00281202': { BulkDataURI: '/green' },
    };
    const read = await withPalette(dataset, async (uri) => {
      asked.push(uri);
      return Uint8Array.of(7, 9);
    });
    expect(read['00281201']?.Value).toEqual([256, 65535]);
    expect(read['00281202']?.Value).toEqual([7, 9]);
    expect(asked).toEqual(['/green']);
  });
});

describe('a multipart answer', () => {
  const body = (text: string) => new TextEncoder().encode(text).buffer as ArrayBuffer;

  it('gives its part, with whatever bytes are in it', () => {
    const part = onlyPart(
      'multipart/related; type="image/jphc"; boundary="b 1"',
      body(
        'preamble\r\n--b 1\r\ncontent-type: image/jphc; transfer-syntax=1.2.3\r\n\r\n--b\r\n\r\n\x00\r\n--b 1--\r\n',
      ),
    );
    expect(part?.contentType).toBe('image/jphc; transfer-syntax=1.2.3');
    expect(new TextDecoder().decode(part?.bytes)).toBe('--b\r\n\r\n\x00');
  });

  it('that is cut short gives nothing', () => {
    expect(
      onlyPart('multipart/related; boundary=b', body('--b\r\nContent-Type: x/y\r\n\r\nhalf')),
    ).toBeUndefined();
    expect(onlyPart('multipart/related', body('--b\r\n\r\nx\r\n--b--'))).toBeUndefined();
  });

  it('that is none is its own part', () => {
    expect(onlyPart('application/octet-stream', body('x'))?.bytes).toEqual(Uint8Array.of(120));
  });
});

describe('fetching ahead', () => {
  it('takes the nearest first, ahead before back, within its bound', () => {
    expect(prefetchOrder(3, 8, 100, 1)).toEqual([4, 2, 5, 1, 6, 0, 7]);
    expect(prefetchOrder(3, 8, 3, -1)).toEqual([2, 4, 1]);
    expect(prefetchOrder(0, 1, 10, 1)).toEqual([]);
  });

  it('keeps four under way, forgets what it no longer aims at, and goes on after a failure', async () => {
    const started: string[] = [];
    const settle: ((failed: boolean) => void)[] = [];
    const prefetch = createPrefetch((imageId) => {
      started.push(imageId);
      return new Promise((resolve, reject) =>
        settle.push((failed) => (failed ? reject(new Error()) : resolve(undefined))),
      );
    });
    prefetch.aim(['a', 'b', 'c', 'd', 'e', 'f']);
    expect(started).toEqual(['a', 'b', 'c', 'd']);
    prefetch.aim(['x', 'y']);
    settle[0]?.(true);
    settle[1]?.(false);
    await new Promise((resolve) => setImmediate(resolve));
    expect(started).toEqual(['a', 'b', 'c', 'd', 'x', 'y']);
    prefetch.stop();
  });
});
