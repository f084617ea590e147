/**
 * Postgres' own log, kept in the data folder in two files of bounded size (`postgres.log`, `postgres.log.1`).
 * embedded-postgres.ts pipes Postgres' standard error into it and turns off everything that quotes statements.
 */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Log } from '../../log.ts';

export interface PostgresLog {
  follow(stream: Readable): void;
  /** The last lines written, for a sentence that must say why Postgres did not start. */
  lastLines(): string[];
  close(): void;
}

/**
 * @param log   told once when the file cannot be written: a full disk must not end the program by way of a log
 * @param limit bytes after which the file is turned over
 */
export function openPostgresLog(file: string, log: Log, limit = 5 * 1024 * 1024): PostgresLog {
  const open = (): number => openSync(file, 'a', 0o600);
  let fd: number | undefined = open();
  let size = fstatSync(fd).size;
  let tail = '';
  let lost = false;
  const keep = (chunk: Buffer): void => {
    if (fd === undefined) return;
    if (size + chunk.length > limit) {
      closeSync(fd);
      renameSync(file, `${file}.1`);
      fd = open();
      size = 0;
    }
    writeSync(fd, chunk);
    size += chunk.length;
  };
  const write = (chunk: Buffer): void => {
    tail = (tail + chunk.toString('utf8')).slice(-4000);
    try {
      keep(chunk);
    } catch (err) {
      if (!lost) log.warn({ err }, 'lines of the Postgres log are lost');
      lost = true;
    }
  };
  return {
    follow(stream) {
      stream.on('data', write);
    },
    lastLines() {
      return tail.split('\n').filter(Boolean).slice(-5);
    },
    close() {
      if (fd !== undefined) closeSync(fd);
      fd = undefined;
    },
  };
}
