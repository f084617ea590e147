/**
 * The names of storage SOP classes (PS3.4 B.5) whose objects hold no picture, for the list of what a series holds besides.
 */
const NAMES: Readonly<Record<string, string>> = {
  '1.2.840.10008.5.1.4.1.1.9.1.1': 'Electrocardiogram, 12 leads',
  '1.2.840.10008.5.1.4.1.1.9.1.2': 'Electrocardiogram',
  '1.2.840.10008.5.1.4.1.1.11.1': 'Grayscale presentation state',
  '1.2.840.10008.5.1.4.1.1.11.2': 'Color presentation state',
  '1.2.840.10008.5.1.4.1.1.30': 'Parametric map',
  '1.2.840.10008.5.1.4.1.1.66': 'Raw data',
  '1.2.840.10008.5.1.4.1.1.66.1': 'Spatial registration',
  '1.2.840.10008.5.1.4.1.1.66.3': 'Deformable registration',
  '1.2.840.10008.5.1.4.1.1.66.4': 'Segmentation',
  '1.2.840.10008.5.1.4.1.1.66.7': 'Segmentation (label map)',
  '1.2.840.10008.5.1.4.1.1.66.5': 'Surface segmentation',
  '1.2.840.10008.5.1.4.1.1.88.11': 'Report (basic text)',
  '1.2.840.10008.5.1.4.1.1.88.22': 'Report (enhanced)',
  '1.2.840.10008.5.1.4.1.1.88.33': 'Report (comprehensive)',
  '1.2.840.10008.5.1.4.1.1.88.34': 'Report (comprehensive 3D)',
  '1.2.840.10008.5.1.4.1.1.88.50': 'Report (mammography CAD)',
  '1.2.840.10008.5.1.4.1.1.88.59': 'Key object selection',
  '1.2.840.10008.5.1.4.1.1.88.65': 'Report (chest CAD)',
  '1.2.840.10008.5.1.4.1.1.88.67': 'Radiation dose report',
  '1.2.840.10008.5.1.4.1.1.104.1': 'PDF document',
  '1.2.840.10008.5.1.4.1.1.104.2': 'CDA document',
  '1.2.840.10008.5.1.4.1.1.104.3': '3D model (STL)',
  '1.2.840.10008.5.1.4.1.1.481.3': 'Radiotherapy structure set',
  '1.2.840.10008.5.1.4.1.1.481.5': 'Radiotherapy plan',
};

export function sopClassName(sopClassUid: string): string {
  const name = NAMES[sopClassUid];
  if (name !== undefined) return name;
  if (sopClassUid.startsWith('1.2.840.10008.5.1.4.1.1.88.')) return 'Report';
  if (sopClassUid.startsWith('1.2.840.10008.5.1.4.1.1.11.')) return 'Presentation state';
  if (sopClassUid.startsWith('1.2.840.10008.5.1.4.1.1.9.')) return 'Waveform';
  return 'Object without a picture';
}
