/**
 * What a multi-frame object has beside the image header: functional groups (PS3.3 C.7.6.16) with an item for each frame,
 * so that its header is some hundred KB long, as real ones are. Called by series.ts.
 */
import type { Element } from './elements.ts';

export function multiFrameModule(frames: number, dimensionUid: string): Element[] {
  return [
    ['00280008', 'IS', String(frames)],
    ['00209221', 'SQ', [[['00209164', 'UI', dimensionUid]]]],
    ['00209222', 'SQ', [[['00209164', 'UI', dimensionUid]]]],
    ['52009229', 'SQ', [sharedGroups()]],
    ['52009230', 'SQ', Array.from({ length: frames }, (_, frame) => frameGroups(frame))],
  ];
}

function sharedGroups(): Element[] {
  return [
    ['00209116', 'SQ', [[['00200037', 'DS', ['1', '0', '0', '0', '1', '0']]]]],
    [
      '00289110',
      'SQ',
      [
        [
          ['00180050', 'DS', '1.25'],
          ['00280030', 'DS', ['0.8', '0.8']],
        ],
      ],
    ],
  ];
}

function frameGroups(frame: number): Element[] {
  return [
    [
      '00209111',
      'SQ',
      [
        [
          ['00189074', 'DT', '20260105101112'],
          ['00209056', 'SH', '1'],
          ['00209057', 'UL', [frame + 1]],
          ['00209157', 'UL', [frame + 1]],
        ],
      ],
    ],
    ['00209113', 'SQ', [[['00200032', 'DS', ['-204.6', '-204.6', (frame * 1.25).toFixed(2)]]]]],
    [
      '00289145',
      'SQ',
      [
        [
          ['00281052', 'DS', '-1024'],
          ['00281053', 'DS', '1'],
          ['00281054', 'LO', 'HU'],
        ],
      ],
    ],
  ];
}
