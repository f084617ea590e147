/**
 * Debian's Orthanc with its DICOMweb plug-in, SQLite in a folder of its own (needs peer('orthanc')): a PACS that takes
 * DIMSE and STOW-RS and can be asked over REST what it has.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startChild } from './child.ts';
import { freePort } from './free-port.ts';
import { missing, peer } from './peers.ts';
import { tempFolder } from './temp-folder.ts';

export interface OrthancOptions {
  /** Default ORTHANC. */
  aeTitle?: string;
  /** Entries of DicomModalities: symbolic name to [AE title, host, port]. */
  modalities?: Readonly<Record<string, readonly [string, string, number]>>;
  /** Anything more for its configuration file. */
  configuration?: Readonly<Record<string, unknown>>;
}

export interface Orthanc {
  readonly url: string;
  readonly dicomWebUrl: string;
  readonly host: string;
  readonly dicomPort: number;
  readonly aeTitle: string;
  /** GET of its REST API, e.g. '/instances', parsed. */
  get(path: string): Promise<unknown>;
  output(): string;
  stop(): Promise<void>;
}

export async function startOrthanc(options: OrthancOptions = {}): Promise<Orthanc> {
  const tools = peer('orthanc');
  if (!tools) throw new Error(missing('orthanc'));
  const aeTitle = options.aeTitle ?? 'ORTHANC';
  const httpPort = await freePort();
  const dicomPort = await freePort();
  const temp = await tempFolder('orthanc');
  const storage = join(temp.path, 'storage');
  const configuration = join(temp.path, 'orthanc.json');
  await mkdir(storage);
  await writeFile(
    configuration,
    JSON.stringify({
      Name: 'isocenter-test',
      StorageDirectory: storage,
      IndexDirectory: storage,
      Plugins: [tools.dicomWebPlugin],
      HttpPort: httpPort,
      HttpBindAddresses: ['127.0.0.1'],
      RemoteAccessAllowed: false,
      AuthenticationEnabled: false,
      DicomPort: dicomPort,
      DicomAet: aeTitle,
      DicomAlwaysAllowEcho: true,
      DicomAlwaysAllowStore: true,
      UnknownSopClassAccepted: true,
      DicomModalities: options.modalities ?? {},
      DicomWeb: { Enable: true, Root: '/dicom-web/', EnableWado: true },
      ...options.configuration,
    }),
  );
  const url = `http://127.0.0.1:${httpPort}`;
  const child = await startChild({
    command: tools.Orthanc!,
    args: [configuration],
    cwd: temp.path,
    ready: () =>
      fetch(`${url}/system`).then(
        (response) => response.ok,
        () => false,
      ),
  }).catch(async (thrown: unknown) => {
    await temp.remove();
    throw thrown;
  });
  return {
    url,
    dicomWebUrl: `${url}/dicom-web`,
    host: '127.0.0.1',
    dicomPort,
    aeTitle,
    async get(path) {
      const response = await fetch(`${url}${path}`);
      if (!response.ok) throw new Error(`Orthanc answered ${response.status} to GET ${path}`);
      return response.json();
    },
    output: () => child.output(),
    async stop() {
      await child.stop();
      await temp.remove();
    },
  };
}
