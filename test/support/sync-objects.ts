/**
 * Puts two objects into a file store and syncs them: run under strace by file-store.test.ts, which reads off the
 * system calls what was made durable. Arguments: folder, 'async' or 'sync'.
 */
import { createFileStore } from '../../src/archive/object-store/file-store.ts';
import { sourceOf } from './object-source.ts';

const [, , folder, how] = process.argv;
const store = createFileStore({ folder: folder! });
await store.start();
const keys = ['ab/1.2/3.4/5.dcm', 'ab/1.2/3.4/6.dcm'];
if (how === 'sync') {
  for (const key of keys) store.putSync(key, [Buffer.from(key)]);
  store.syncSync(keys);
} else {
  for (const key of keys) await store.put(key, sourceOf(Buffer.from(key)));
  await store.sync(keys);
}
await store.stop();
