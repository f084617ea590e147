/** DCMTK's storescp as destinations of `bench forward`: each takes what comes and keeps nothing. */
import { startChild } from '../../test/support/child.ts';
import { freePort, isListening } from '../../test/support/free-port.ts';
import { findPeer } from '../../test/support/peers.ts';
import { NO_DELAY } from '../receivers/receiver.ts';

export interface Sink {
  readonly name: string;
  readonly port: number;
  readonly aeTitle: string;
  stop(): Promise<void>;
}

const options = (aeTitle: string): string[] => ['--ignore', '--max-pdu', '131072', '-aet', aeTitle];

export const SINK_COMMAND = `TCP_NODELAY=1 storescp ${options('SINK').join(' ')} PORT`;

export async function startSink(name: string): Promise<Sink> {
  const port = await freePort();
  const aeTitle = name.toUpperCase();
  const child = await startChild({
    command: findPeer('dcmtk')?.storescp ?? 'storescp',
    args: [...options(aeTitle), String(port)],
    env: NO_DELAY,
    ready: () => isListening(port),
  });
  return { name, port, aeTitle, stop: () => child.stop() };
}
