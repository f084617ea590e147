/**
 * `npm run bench -- NAME`: the benchmarks, each against a peer in the same run. Measures and tells; never fails a build
 * for being slow. Called by npm; the benches stand beside this file.
 */
import { receive } from './receive.ts';
import { RECEIVE_USAGE } from './receive-options.ts';

const [name, ...args] = process.argv.slice(2);
if (name === 'receive') {
  try {
    process.exitCode = await receive(args);
  } catch (thrown) {
    console.error(thrown instanceof Error ? thrown.message : String(thrown));
    process.exitCode = 1;
  }
} else {
  console.log(`Benchmarks:\n\n${RECEIVE_USAGE}`);
  process.exitCode = name === undefined ? 0 : 1;
}
