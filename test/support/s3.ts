/**
 * A real S3 server for the tests (needs peer('s3')): Ceph's gateway over one monitor and one OSD in memory, or MinIO.
 * It comes up in about 10 s and takes about 650 MB, so a test run shares one: ask `sharedS3()` of shared-peers.ts.
 * `startS3()` starts another, for a test that has to stop it.
 */

import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Child, startChild } from './child.ts';
import { freePort, isListening } from './free-port.ts';
import { missing, peer } from './peers.ts';
import { tempFolder } from './temp-folder.ts';

export interface S3Access {
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
  readonly server: 'ceph' | 'minio';
}

export interface S3Server extends S3Access {
  stop(): Promise<void>;
}

const run = promisify(execFile);

export async function startS3(): Promise<S3Server> {
  const tools = peer('s3');
  if (!tools) throw new Error(missing('s3'));
  const temp = await tempFolder('s3');
  const children: Child[] = [];
  const stop = async () => {
    // Nothing to save, and Ceph's daemons take seconds over saying goodbye to each other.
    for (const child of children.toReversed()) await child.stop(0);
    await temp.remove();
  };
  try {
    const access = {
      accessKey: 'isocenter-test',
      secretKey: randomBytes(20).toString('hex'),
      region: 'us-east-1',
    };
    return tools.minio
      ? { ...(await startMinio(tools.minio, temp.path, access, children)), stop }
      : { ...(await startCeph(tools, temp.path, access, children)), stop };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

type Keys = Pick<S3Access, 'accessKey' | 'secretKey' | 'region'>;

async function startMinio(program: string, folder: string, keys: Keys, children: Child[]): Promise<S3Access> {
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  children.push(
    await startChild({
      command: program,
      args: [
        'server',
        join(folder, 'data'),
        '--address',
        `127.0.0.1:${port}`,
        '--config-dir',
        join(folder, 'config'),
      ],
      cwd: folder,
      env: { MINIO_ROOT_USER: keys.accessKey, MINIO_ROOT_PASSWORD: keys.secretKey, MINIO_BROWSER: 'off' },
      ready: () =>
        fetch(`${endpoint}/minio/health/ready`).then(
          (response) => response.ok,
          () => false,
        ),
      startSeconds: 60,
    }),
  );
  return { endpoint, ...keys, server: 'minio' };
}

async function startCeph(
  tools: Record<string, string>,
  folder: string,
  keys: Keys,
  children: Child[],
): Promise<S3Access> {
  const monitorPort = await freePort();
  const port = await freePort();
  const conf = join(folder, 'ceph.conf');
  const id = randomUUID();
  for (const name of ['mon', 'osd', 'rgw', 'run', 'mgr']) await mkdir(join(folder, name));
  await writeFile(conf, cephConfiguration(folder, id, monitorPort, port));

  const call = async (tool: string, ...args: string[]) => {
    try {
      return await run(tools[tool]!, args, { cwd: folder, timeout: 60_000 });
    } catch (thrown) {
      throw new Error(`${tool} ${args[0] ?? ''} failed`, { cause: thrown });
    }
  };
  const daemon = async (tool: string, args: string[], ready: () => boolean, startSeconds: number) => {
    children.push(
      await startChild({
        command: tools[tool]!,
        args: ['-f', '-c', conf, ...args],
        cwd: folder,
        ready,
        startSeconds,
      }),
    );
  };
  const ceph = (...args: string[]) => call('ceph', '-c', conf, '--connect-timeout', '30', ...args);

  const map = join(folder, 'monmap');
  await call('monmaptool', '--create', '--addv', 'a', `[v1:127.0.0.1:${monitorPort}]`, '--fsid', id, map);
  await call('ceph-mon', '-c', conf, '--mkfs', '-i', 'a', '--monmap', map);
  await daemon('ceph-mon', ['-i', 'a'], () => isListening(monitorPort), 30);
  await ceph('osd', 'create');
  await call('ceph-osd', '-c', conf, '-i', '0', '--mkfs');
  await daemon('ceph-osd', ['-i', '0'], () => true, 30);
  await ceph('osd', 'crush', 'add', 'osd.0', '1.0', 'host=h', 'root=default');
  await call(
    'radosgw-admin',
    '-c',
    conf,
    '-n',
    'client.rgw',
    'user',
    'create',
    '--uid=dicom',
    '--display-name=dicom',
    `--access-key=${keys.accessKey}`,
    `--secret-key=${keys.secretKey}`,
  );
  await daemon('radosgw', ['-n', 'client.rgw'], () => isListening(port), 60);
  return { endpoint: `http://127.0.0.1:${port}`, ...keys, server: 'ceph' };
}

/** One host, one copy, no authentication between the daemons: everything is on loopback and gone after the run. */
function cephConfiguration(folder: string, id: string, monitorPort: number, port: number): string {
  const at = (name: string) => join(folder, name);
  return `[global]
fsid = ${id}
mon_initial_members = a
mon_host = [v1:127.0.0.1:${monitorPort}]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr2 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_data_avail_crit = 1
osd_class_update_on_start = false
osd_crush_update_on_start = false
osd_objectstore = memstore
memstore_device_bytes = 4294967296
run_dir = ${at('run')}
admin_socket = ${at('run')}/$cluster-$name.$pid.asok
log_file = ${at('run')}/$name.log
pid_file = ${at('run')}/$name.pid
crash_dir = ${at('run')}
[mon]
mon_data = ${at('mon')}
[osd]
osd_data = ${at('osd')}
[client.rgw]
rgw_data = ${at('rgw')}
rgw_frontends = beast endpoint=127.0.0.1:${port}
rgw_enable_usage_log = false
`;
}
