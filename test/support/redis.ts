/**
 * A Redis of the test's own on a free port, in memory only (needs peer('redis-server')).
 */
import net from 'node:net';
import { startChild } from './child.ts';
import { freePort, isListening } from './free-port.ts';
import { missing, peer } from './peers.ts';
import { tempFolder } from './temp-folder.ts';

export interface Redis {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** SIGKILL; it comes back only by startRedis with its port. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** With `port` it comes back where a stopped one was, having forgotten everything. */
export async function startRedis(options: { port?: number } = {}): Promise<Redis> {
  const tools = peer('redis-server');
  if (!tools) throw new Error(missing('redis-server'));
  const port = options.port ?? (await freePort());
  const temp = await tempFolder('redis');
  const child = await startChild({
    command: tools['redis-server']!,
    args: [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      temp.path,
    ],
    cwd: temp.path,
    ready: (output) => output.includes('Ready to accept connections') && isListening(port),
  }).catch(async (thrown: unknown) => {
    await temp.remove();
    throw thrown;
  });
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    pid: child.pid,
    async kill() {
      await child.stop(0);
      await temp.remove();
    },
    async stop() {
      await child.stop();
      await temp.remove();
    },
  };
}

/** One command, in one line; what it answered, as Redis writes it. */
export function redisCommand(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(`${command}\r\n`));
    socket.once('error', reject);
    socket.once('data', (answer) => {
      socket.destroy();
      resolve(answer.toString());
    });
  });
}
