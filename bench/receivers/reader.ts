/** The bare Node reader (discarding-reader.ts) as a receiver: what Node costs when nothing is kept. */
import { fileURLToPath } from 'node:url';
import { type Child, startChild } from '../../test/support/child.ts';
import type { ReceiverKind } from './receiver.ts';

const program = fileURLToPath(new URL('../discarding-reader.ts', import.meta.url));

export const reader: ReceiverKind = {
  name: 'reader',
  title: 'bare Node reader, discards',
  command: 'node bench/discarding-reader.ts',
  countsByStudy: false,
  async start() {
    const child: Child = await startChild({
      command: process.execPath,
      args: [program],
      ready: (output) => /^port \d+$/m.test(output),
    });
    return {
      pid: child.pid,
      port: Number(/^port (\d+)$/m.exec(child.output())?.[1]),
      aeTitle: 'READER',
      stored: async () =>
        Number(
          child
            .output()
            .match(/^received \d+$/gm)
            ?.at(-1)
            ?.split(' ')[1] ?? 0,
        ),
      settled: async () => {},
      stop: () => child.stop(),
    };
  },
};
