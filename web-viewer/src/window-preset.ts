/**
 * Windows a reader of CT reaches for by number. Hounsfield units only mean something for CT, so only CT has them.
 */
export interface WindowPreset {
  key: string;
  name: string;
  width: number;
  center: number;
}

const CT: readonly WindowPreset[] = [
  { key: '1', name: 'Soft tissue', width: 400, center: 40 },
  { key: '2', name: 'Lung', width: 1500, center: -600 },
  { key: '3', name: 'Bone', width: 2500, center: 480 },
  { key: '4', name: 'Brain', width: 80, center: 40 },
  { key: '5', name: 'Liver', width: 150, center: 90 },
];

export function windowPresets(modality: string): readonly WindowPreset[] {
  return modality === 'CT' ? CT : [];
}
