/** What the numbers were measured on, in a few lines; called by receive.ts and printed above the table. */
import { spawnSync } from 'node:child_process';
import { statfsSync } from 'node:fs';
import os from 'node:os';
import { findPeer } from '../test/support/peers.ts';

/** linux/magic.h */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: 'ext4',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  16914836: 'tmpfs',
  2035054128: 'overlayfs',
};
const TMPFS = 'tmpfs';

/** @param folder on the disk under measurement */
export function describeMachine(folder: string): string[] {
  const { type } = statfsSync(folder);
  const disk = FILE_SYSTEMS[type] ?? `0x${type.toString(16)}`;
  const [cpu] = os.cpus();
  const said = [
    `${os.availableParallelism()} × ${cpu?.model.trim() ?? 'unknown CPU'}, ${Math.round(os.totalmem() / 1e9)} GB, ` +
      `${os.type()} ${os.release()}, ${disk}, Node ${process.version}, ${versionOf('dcmtk', 'storescu')}, ` +
      versionOf('orthanc', 'Orthanc'),
  ];
  if (disk === TMPFS)
    said.push(
      'WARNING: the folder is in memory, so a sync costs nothing here; name one on a disk with --folder.',
    );
  return said;
}

function versionOf(peer: 'dcmtk' | 'orthanc', program: string): string {
  const path = findPeer(peer)?.[program];
  if (!path) return `no ${program}`;
  const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8', timeout: 5000 });
  return `${peer} ${/v?(\d+\.\d+\.\d+)/.exec(stdout)?.[1] ?? 'of unknown version'}`;
}
