/**
 * The floor under every Node web server that hands out stored bytes: one process, node:http, each file opened, read whole
 * and sent. It checks nothing. Started by file-servers.ts with a folder; prints its port.
 */
import { open } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';

const [folder = '.'] = process.argv.slice(2);

const server = createServer((request, response) => {
  readWhole(join(folder, request.url ?? '')).then(
    (bytes) => {
      response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': bytes.length });
      response.end(bytes);
    },
    () => response.writeHead(404).end(),
  );
});

server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address && typeof address === 'object') console.log(`port ${address.port}`);
});
process.on('SIGTERM', () => process.exit(0));

async function readWhole(path: string): Promise<Buffer> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const bytes = Buffer.allocUnsafe(size);
    await file.read(bytes, 0, size, 0);
    return bytes;
  } finally {
    await file.close();
  }
}
