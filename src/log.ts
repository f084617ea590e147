/**
 * Structured logs, one JSON line an event, to standard output.
 * They carry UIDs, AE titles, counts and kinds; never attribute values, query strings or request bodies.
 * Made by main.ts (and once per worker thread); rooms get a child with their name.
 */
import { type Logger, pino } from 'pino';
import { Failure } from './failure.ts';

export type Log = Logger;

/** @param level one of pino's levels, or 'silent' */
export function createLog(level: string, room: string): Log {
  return pino({
    level,
    base: { room },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: describeError },
  });
}

/**
 * An error as a log may show it: our own sentences whole, foreign ones by name and code.
 * Postgres' `detail`, a parser's message or a peer's body can quote a patient, so they are left out.
 */
export function describeError(thrown: unknown): Record<string, unknown> {
  if (thrown instanceof Failure)
    return {
      kind: thrown.kind,
      // asFailure gives a foreign error's words to the Failure around it.
      ...(hasForeignWords(thrown) ? {} : { message: thrown.message }),
      ...(thrown.cause === undefined ? {} : { cause: describeError(thrown.cause) }),
    };
  if (!(thrown instanceof Error)) return { type: typeof thrown };
  const { code, syscall } = thrown as NodeJS.ErrnoException;
  const own = thrown instanceof TypeError || thrown instanceof RangeError || syscall !== undefined;
  return {
    type: thrown.name,
    ...(code === undefined ? {} : { code }),
    ...(own ? { message: thrown.message } : {}),
    stack: thrown.stack
      ?.split('\n')
      .filter((line) => /^\s+at /.test(line))
      .slice(0, 8)
      .map((line) => line.trim()),
    ...(thrown.cause === undefined ? {} : { cause: describeError(thrown.cause) }),
  };
}

function hasForeignWords({ message, cause }: Failure): boolean {
  return cause instanceof Error && !(cause instanceof Failure) && cause.message === message;
}
