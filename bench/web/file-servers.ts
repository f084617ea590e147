/** The servers that hand out the frames as files: bare Node (file-server.ts) and nginx. Called by dicomweb.ts. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startChild } from '../../test/support/child.ts';
import { freePort } from '../../test/support/free-port.ts';
import { findPeer, missing } from '../../test/support/peers.ts';

export interface FileServer {
  readonly url: string;
  stop(): Promise<void>;
}

export interface FileServerKind {
  readonly name: string;
  readonly title: string;
  readonly command: string;
  readonly missing?: string;
  /** @param files what is handed out; @param workspace where it may write */
  start(files: string, workspace: string): Promise<FileServer>;
}

const program = fileURLToPath(new URL('./file-server.ts', import.meta.url));

const bareNode: FileServerKind = {
  name: 'node',
  title: 'bare Node',
  command: 'node bench/web/file-server.ts FOLDER',
  async start(files) {
    const child = await startChild({
      command: process.execPath,
      args: [program, files],
      ready: (output) => /^port \d+$/m.test(output),
    });
    const port = /^port (\d+)$/m.exec(child.output())?.[1];
    return { url: `http://127.0.0.1:${port}`, stop: () => child.stop() };
  },
};

const nginxPath = findPeer('nginx')?.nginx;

const nginx: FileServerKind = {
  name: 'nginx',
  title: 'nginx',
  command: 'nginx -c CONFIGURATION (sendfile, worker_processes auto, no access log, else its defaults)',
  ...(nginxPath === undefined && { missing: missing('nginx') }),
  async start(files, workspace) {
    const folder = join(workspace, 'nginx');
    await mkdir(folder);
    const port = await freePort();
    const configuration = join(folder, 'nginx.conf');
    await writeFile(configuration, nginxConfiguration(port, files, folder));
    const url = `http://127.0.0.1:${port}`;
    const child = await startChild({
      command: nginxPath ?? 'nginx',
      args: ['-p', folder, '-e', 'stderr', '-c', configuration],
      ready: () =>
        fetch(url).then(
          () => true,
          () => false,
        ),
    });
    return { url, stop: () => child.stop() };
  },
};

export const FILE_SERVERS: readonly FileServerKind[] = [bareNode, nginx];

/** Its defaults write to the system's folders; started by root it would read as another user, who may not. */
function nginxConfiguration(port: number, files: string, folder: string): string {
  const own = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `  ${name}_temp_path ${join(folder, name)};`)
    .join('\n');
  return `daemon off;
${process.getuid?.() === 0 ? 'user root;\n' : ''}worker_processes auto;
pid ${join(folder, 'nginx.pid')};
error_log stderr;
events { worker_connections 64; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
${own}
  server {
    listen 127.0.0.1:${port};
    root ${files};
  }
}
`;
}
