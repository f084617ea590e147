/** Debian's Orthanc as a receiver: its own defaults (SQLite, files), the PDU length of the others. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startChild } from '../../test/support/child.ts';
import { freePort } from '../../test/support/free-port.ts';
import { findPeer, missing } from '../../test/support/peers.ts';
import { NO_DELAY, type Receiver, type ReceiverKind } from './receiver.ts';

const tools = findPeer('orthanc');

export const orthanc: ReceiverKind = {
  name: 'orthanc',
  title: 'Orthanc',
  command: 'TCP_NODELAY=1 Orthanc CONFIGURATION (MaximumPduLength 131072, else its defaults)',
  ...(tools ? {} : { missing: missing('orthanc') }),
  countsByStudy: false,
  start: (folder) => startOrthanc(folder),
};

/** @param plugins paths of shared libraries; `bench dicomweb` has that of DICOMweb loaded */
export async function startOrthanc(folder: string, plugins: readonly string[] = []): Promise<Receiver> {
  const httpPort = await freePort();
  const port = await freePort();
  const configuration = join(folder, 'orthanc.json');
  await writeFile(
    configuration,
    JSON.stringify({
      Name: 'isocenter-bench',
      StorageDirectory: folder,
      IndexDirectory: folder,
      HttpPort: httpPort,
      HttpBindAddresses: ['127.0.0.1'],
      RemoteAccessAllowed: false,
      AuthenticationEnabled: false,
      DicomPort: port,
      DicomAet: 'ORTHANC',
      DicomAlwaysAllowStore: true,
      MaximumPduLength: 131_072,
      ...(plugins.length > 0 && { Plugins: plugins }),
    }),
  );
  const url = `http://127.0.0.1:${httpPort}`;
  const child = await startChild({
    command: tools?.Orthanc ?? 'Orthanc',
    args: [configuration],
    cwd: folder,
    env: NO_DELAY,
    ready: () =>
      fetch(`${url}/system`).then(
        (response) => response.ok,
        () => false,
      ),
  });
  return {
    pid: child.pid,
    port,
    aeTitle: 'ORTHANC',
    url,
    async stored() {
      const response = await fetch(`${url}/statistics`);
      const { CountInstances } = (await response.json()) as { CountInstances: number };
      return CountInstances;
    },
    settled: async () => {},
    stop: () => child.stop(20_000),
  };
}
