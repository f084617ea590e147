/**
 * `npm run bench -- NAME`: the benchmarks, each against a peer in the same run. Measures and tells; never fails a build
 * for being slow. Called by npm; the benches stand beside this file.
 */
import { dicomweb } from './dicomweb.ts';
import { DICOMWEB_USAGE } from './dicomweb-options.ts';
import { FORWARD_USAGE, forward } from './forward.ts';
import { receive } from './receive.ts';
import { RECEIVE_USAGE } from './receive-options.ts';
import { SEED_USAGE, seed } from './seed.ts';

const BENCHES: Readonly<Record<string, (args: readonly string[]) => Promise<number>>> = {
  receive,
  forward,
  dicomweb,
  seed,
};

const [name, ...args] = process.argv.slice(2);
const bench = BENCHES[name ?? ''];
if (bench) {
  try {
    process.exitCode = await bench(args);
  } catch (thrown) {
    console.error(thrown instanceof Error ? thrown.message : String(thrown));
    process.exitCode = 1;
  }
} else {
  console.log(`Benchmarks:\n\n${RECEIVE_USAGE}\n\n${FORWARD_USAGE}\n\n${DICOMWEB_USAGE}\n\n${SEED_USAGE}`);
  process.exitCode = name === undefined ? 0 : 1;
}
