/**
 * A program as small as can be that holds a data folder and its embedded Postgres, for tests that kill it.
 * Writes one row, says what it sees in one line of JSON, and stays until its input ends; then it stops in order.
 */
import { once } from 'node:events';
import { openDataFolder } from '../../../src/archive/data-folder.ts';
import { openConfiguredDatabase } from '../../../src/archive/database/connect.ts';
import { createLog } from '../../../src/log.ts';

try {
  const begun = Date.now();
  const folder = await openDataFolder(process.argv[2] ?? '');
  const { database, stop } = await openConfiguredDatabase(
    { dataFolder: folder },
    createLog('silent', 'keeper'),
  );
  const readyMs = Date.now() - begun;
  await database.query('create table if not exists kept (pid integer)');
  await database.query('insert into kept values ($1)', [process.pid]);
  const { rows } = await database.query<{ kept: number; postmaster: string; socket: string }>(
    `select count(*) as kept, pg_read_file('postmaster.pid') as postmaster,
            trim('"' from current_setting('unix_socket_directories')) as socket from kept`,
  );
  const { kept, postmaster, socket } = rows[0]!;
  console.log(JSON.stringify({ kept, postmaster: Number(postmaster.split('\n')[0]), socket, readyMs }));
  process.stdin.resume();
  await once(process.stdin, 'end');
  await stop();
  await folder.close();
} catch (error) {
  const { kind, message } = error as { kind?: string; message: string };
  console.log(JSON.stringify({ kind, message }));
}
