/**
 * The real programs the tests run against, and where they lie on this machine.
 * A suite asks `peer('dcmtk')`: paths by program name, or undefined when the machine does not have it. The suite then
 * skips itself with the peer's name in its title, and test/run.ts says at the end what was left out and why.
 * With CI=true a missing peer is an error, so that nothing is left out there silently.
 */
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ohifFolder } from './fetch-ohif.ts';

export type PeerName =
  | 'dcmtk'
  | 'gdcm'
  | 'chromium'
  | 'ohif'
  | 'redis-server'
  | 's3'
  | 'orthanc'
  | 'dicom3tools'
  | 'nginx'
  | 'fhir'
  | 'strace'
  | 'openssl'
  | 'loop-mount';

interface PeerEntry {
  /** What to install on Debian, in the words of apt-get. */
  readonly debian: string;
  /** Alternatives, best first: every program of one has to be there. */
  readonly programs: readonly (readonly string[])[];
  /** Files that have to be there as well, by the name they get in the answer. */
  readonly files?: Readonly<Record<string, string>>;
  /** What else it needs of the machine. */
  readonly usable?: () => boolean;
}

const orthancPlugins = '/usr/share/orthanc/plugins';

export const peers: Readonly<Record<PeerName, PeerEntry>> = {
  dcmtk: {
    debian: 'dcmtk',
    programs: [
      [
        'storescu',
        'storescp',
        'echoscu',
        'findscu',
        'movescu',
        'getscu',
        'dcmqrscp',
        'dcmdump',
        'dump2dcm',
        'dcm2json',
        'dcm2xml',
        'dcmodify',
        'dcmconv',
        'dcmcjpeg',
        'dcmcrle',
        'dcmdjpeg',
        'dcmcjpls',
        'dcmdjpls',
        'dcmdrle',
        'dcm2pnm',
      ],
    ],
  },
  gdcm: { debian: 'libgdcm-tools', programs: [['gdcmconv']] },
  chromium: { debian: 'chromium', programs: [['chromium'], ['chromium-browser'], ['google-chrome']] },
  ohif: {
    debian: 'nothing (npx node test/support/fetch-ohif.ts fetches it from the npm registry)',
    programs: [[]],
    files: { page: join(ohifFolder, 'index.html') },
  },
  'redis-server': { debian: 'redis-server', programs: [['redis-server']] },
  s3: {
    debian: 'ceph-mon ceph-osd radosgw ceph-common',
    programs: [['minio'], ['ceph-mon', 'ceph-osd', 'radosgw', 'radosgw-admin', 'monmaptool', 'ceph']],
  },
  orthanc: {
    debian: 'orthanc orthanc-dicomweb',
    programs: [['Orthanc']],
    files: { dicomWebPlugin: join(orthancPlugins, 'libOrthancDicomWeb.so') },
  },
  dicom3tools: { debian: 'dicom3tools', programs: [['dciodvfy']] },
  // Only the benchmarks run it.
  nginx: { debian: 'nginx-light', programs: [['nginx']] },
  // The FHIR peer is made of development dependencies and is always there.
  fhir: { debian: 'nothing (npm ci brings it)', programs: [[]] },
  strace: { debian: 'strace', programs: [['strace']] },
  openssl: { debian: 'openssl', programs: [['openssl']] },
  // Root, in a machine or container that may mount.
  'loop-mount': {
    debian: 'mount e2fsprogs util-linux, as root where /dev/loop-control is',
    programs: [['mount', 'umount', 'mkfs.ext4', 'e2fsck', 'fsfreeze', 'fallocate']],
    files: { loopControl: '/dev/loop-control' },
    usable: () => process.getuid?.() === 0,
  },
};

export const onCi = process.env.CI === 'true' || process.env.CI === '1';

/** Debian keeps daemons and file system tools in sbin, which an ordinary user's PATH may lack. */
const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'].filter(Boolean);

function which(program: string): string | undefined {
  return folders.map((folder) => join(folder, program)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch (thrown) {
    // Not there, or not for us: both mean the next folder is asked.
    if (thrown instanceof Error && 'code' in thrown) return false;
    throw thrown;
  }
}

/** Paths of a peer's programs and files by name, or undefined; never asks the machine's administrator for anything. */
export function findPeer(name: PeerName): Record<string, string> | undefined {
  const entry = peers[name];
  const files = Object.entries(entry.files ?? {});
  if (entry.usable?.() === false) return undefined;
  if (!files.every(([, path]) => existsSync(path))) return undefined;
  for (const programs of entry.programs) {
    const found = programs.map((program) => [program, which(program)] as const);
    if (!found.every(([, path]) => path !== undefined)) continue;
    return Object.fromEntries([...found, ...files]) as Record<string, string>;
  }
  return undefined;
}

/** As `findPeer`; on CI a missing peer throws with the package that brings it. */
export function peer(name: PeerName): Record<string, string> | undefined {
  const found = findPeer(name);
  if (!found && onCi) throw new Error(`On CI every peer has to be there: ${missing(name)}`);
  return found;
}

export function missing(name: PeerName): string {
  return `${name} is missing; on Debian: apt-get install --no-install-recommends ${peers[name].debian}`;
}
