/**
 * A PACS destination: DCMTK's storescp on a free port, writing every data set bit for bit (+B) into its own folder.
 * Faults by extraArgs: --refuse, --abort-during, --abort-after, --sleep-during 1, ... (needs peer('dcmtk')).
 */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { startChild } from './child.ts';
import { freePort, isListening } from './free-port.ts';
import { missing, peer } from './peers.ts';
import { tempFolder } from './temp-folder.ts';

export interface StoreScpOptions {
  /** Default PACS. */
  aeTitle?: string;
  extraArgs?: readonly string[];
  /** Default a free one; give it to come back where a stopped one was. */
  port?: number;
}

export interface StoreScp {
  readonly host: string;
  readonly port: number;
  readonly aeTitle: string;
  readonly folder: string;
  /** Paths of the files received so far, sorted by name (MODALITY.SOPInstanceUID). */
  received(): Promise<string[]>;
  output(): string;
  /** Ends the process and removes the folder. */
  stop(): Promise<void>;
}

export async function startStoreScp(options: StoreScpOptions = {}): Promise<StoreScp> {
  const tools = peer('dcmtk');
  if (!tools) throw new Error(missing('dcmtk'));
  const aeTitle = options.aeTitle ?? 'PACS';
  const port = options.port ?? (await freePort());
  const temp = await tempFolder('pacs');
  const folder = join(temp.path, 'received');
  await mkdir(folder);
  const child = await startChild({
    command: tools.storescp!,
    args: [
      '-v',
      '-dhl',
      '+B',
      '+xa',
      '-pdu',
      '131072',
      '-od',
      folder,
      '-aet',
      aeTitle,
      ...(options.extraArgs ?? []),
      String(port),
    ],
    cwd: temp.path,
    // Without it Nagle's algorithm stalls every C-STORE by 40 ms.
    env: { TCP_NODELAY: '1' },
    ready: () => isListening(port),
  }).catch(async (thrown: unknown) => {
    await temp.remove();
    throw thrown;
  });
  return {
    host: '127.0.0.1',
    port,
    aeTitle,
    folder,
    received: async () => (await readdir(folder)).sort().map((name) => join(folder, name)),
    output: () => child.output(),
    async stop() {
      await child.stop();
      await temp.remove();
    },
  };
}
