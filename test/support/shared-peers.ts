/**
 * Peers that are too slow or too large to start per suite: one per test run, started when the first suite asks,
 * stopped when the run ends. vitest.config.ts names this file as a global set-up; it runs in vitest's main process and
 * answers the test processes on a socket of its own folder.
 */
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { type S3Access, type S3Server, startS3 } from './s3.ts';
import { tempFolder } from './temp-folder.ts';

const socketVariable = 'ISOCENTER_TEST_SHARED_PEERS';

export async function setup(): Promise<() => Promise<void>> {
  const temp = await tempFolder('run');
  const path = join(temp.path, 'shared-peers');
  let s3: Promise<S3Server> | undefined;
  const server = createServer((socket) => {
    // A test process that is gone before the answer needs none.
    socket.on('error', () => socket.destroy());
    s3 ??= startS3();
    s3.then(
      ({ stop: _, ...access }) => socket.end(JSON.stringify({ access })),
      (thrown: unknown) => socket.end(JSON.stringify({ failed: String(thrown) })),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  process.env[socketVariable] = path;
  return async () => {
    server.close();
    // A start that failed was told to the suite that asked.
    const started = await s3?.catch(() => undefined);
    await started?.stop();
    await temp.remove();
  };
}

/** The S3 server of this test run; suites keep apart by using buckets of their own. */
export async function sharedS3(): Promise<S3Access> {
  const path = process.env[socketVariable];
  if (!path) throw new Error('sharedS3() works inside vitest, where shared-peers.ts is a global set-up.');
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(path);
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
    });
    socket.once('end', () => resolve(text));
    socket.once('error', reject);
  });
  const { access, failed } = JSON.parse(answer) as { access?: S3Access; failed?: string };
  if (!access) throw new Error(`The shared S3 server did not start: ${failed}`);
  return access;
}
