/** The archives whose DICOMweb is measured: the receivers of `bench receive`, Orthanc with its plug-in. */
import { findPeer, missing } from '../../test/support/peers.ts';
import { isocenter } from '../receivers/isocenter.ts';
import { startOrthanc } from '../receivers/orthanc.ts';
import type { Receiver } from '../receivers/receiver.ts';

export interface ArchiveKind {
  readonly name: string;
  readonly title: string;
  readonly command: string;
  readonly missing?: string;
  /** @param folder empty, or that of an earlier start */
  start(folder: string): Promise<Receiver>;
}

const plugin = findPeer('orthanc')?.dicomWebPlugin;

export const ARCHIVES: readonly ArchiveKind[] = [
  isocenter,
  {
    name: 'orthanc',
    title: 'Orthanc',
    command: `TCP_NODELAY=1 Orthanc CONFIGURATION (MaximumPduLength 131072, Plugins [${plugin}], else its defaults)`,
    ...(plugin === undefined && { missing: missing('orthanc') }),
    start: (folder) => startOrthanc(folder, plugin === undefined ? [] : [plugin]),
  },
];
