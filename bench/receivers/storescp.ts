/** DCMTK's storescp as a receiver: a process for each association, plain files, neither synced nor indexed. */
import { readdir } from 'node:fs/promises';
import { startChild } from '../../test/support/child.ts';
import { freePort, isListening } from '../../test/support/free-port.ts';
import { findPeer, missing } from '../../test/support/peers.ts';
import { NO_DELAY, type ReceiverKind } from './receiver.ts';

const tools = findPeer('dcmtk');
const options = ['--fork', '--max-pdu', '131072', '-aet', 'STORESCP'];

export const storescp: ReceiverKind = {
  name: 'storescp',
  title: 'DCMTK storescp --fork',
  command: `TCP_NODELAY=1 storescp ${options.join(' ')} -od FOLDER PORT`,
  ...(tools ? {} : { missing: missing('dcmtk') }),
  countsByStudy: false,
  async start(folder) {
    const port = await freePort();
    const child = await startChild({
      command: tools?.storescp ?? 'storescp',
      args: [...options, '-od', folder, String(port)],
      env: NO_DELAY,
      ready: () => isListening(port),
    });
    return {
      pid: child.pid,
      port,
      aeTitle: 'STORESCP',
      stored: async () => (await readdir(folder)).length,
      settled: async () => {},
      stop: () => child.stop(),
    };
  },
};
