/**
 * The senders: DCMTK's storescu, one process for each association, all at once. Called by measure.ts with the folders
 * that series/ wrote; the bytes go to the receiver under measurement.
 */
import { spawn } from 'node:child_process';
import { findPeer } from '../test/support/peers.ts';
import { NO_DELAY } from './receivers/receiver.ts';

/** A sender that takes longer is ended, and its run is void. */
const LIMIT_SECONDS = 120;
const KEPT_OUTPUT = 4000;

export const SEND_COMMAND =
  'TCP_NODELAY=1 storescu -R --max-pdu 131072 --max-send-pdu 131072 -aet BENCH -aec AETITLE +sd 127.0.0.1 PORT FOLDER…';

export interface Target {
  readonly port: number;
  readonly aeTitle: string;
}

/**
 * @param lanes what each association sends: folders
 * @returns seconds from the start of the first sender to the end of the last
 * @throws Error with what storescu said, when one fails or takes too long
 */
export async function send(
  target: Target,
  lanes: readonly (readonly string[])[],
  signal: AbortSignal,
): Promise<number> {
  const start = performance.now();
  await Promise.all(lanes.map((folders) => sendLane(target, folders, signal)));
  return (performance.now() - start) / 1000;
}

function sendLane({ port, aeTitle }: Target, folders: readonly string[], signal: AbortSignal): Promise<void> {
  const pdu = ['--max-pdu', '131072', '--max-send-pdu', '131072'];
  const options = ['-R', ...pdu, '-aet', 'BENCH', '-aec', aeTitle, '+sd'];
  const child = spawn(
    findPeer('dcmtk')?.storescu ?? 'storescu',
    [...options, '127.0.0.1', String(port), ...folders],
    {
      env: { ...process.env, ...NO_DELAY },
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
      timeout: LIMIT_SECONDS * 1000,
      killSignal: 'SIGKILL',
    },
  );
  let said = '';
  const keep = (chunk: Buffer): void => {
    said = (said + chunk.toString('latin1')).slice(-KEPT_OUTPUT);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, killed) => {
      if (code === 0) resolve();
      else if (killed)
        reject(
          new Error(`storescu was ended by ${killed}; a sender has ${LIMIT_SECONDS} s. It said: ${said}`),
        );
      else reject(new Error(`storescu ended with ${code}: ${said}`));
    });
  });
}
