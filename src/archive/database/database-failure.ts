/**
 * What Postgres' errors become: a Failure with the code and the names of table, column and constraint.
 * The server's own message and detail quote values ("Key (patient_id)=(...) already exists"), so they end here.
 * Called by database.ts and listener.ts; doors look at `kind`, rooms may look at `code` and `constraint`.
 */
import { Failure, type FailureKind } from '../../failure.ts';

export class DatabaseFailure extends Failure {
  /** SQLSTATE (five characters), or the system's error code such as ECONNREFUSED. */
  readonly code: string | undefined;
  readonly table: string | undefined;
  readonly column: string | undefined;
  readonly constraint: string | undefined;
  /** The connection is gone, or so is the server: nothing more can be said on it. */
  readonly connectionLost: boolean;

  constructor(
    kind: FailureKind,
    message: string,
    error: PostgresError,
    more: { lost?: true; retryAfterS?: number } = {},
  ) {
    super(kind, message, more.retryAfterS === undefined ? {} : { retryAfterS: more.retryAfterS });
    this.name = 'DatabaseFailure';
    this.code = error.code;
    this.table = error.table;
    this.column = error.column;
    this.constraint = error.constraint;
    this.connectionLost = more.lost ?? false;
  }
}

/** The fields of pg's DatabaseError and of system errors that are read here. */
interface PostgresError extends Error {
  code?: string;
  table?: string;
  column?: string;
  constraint?: string;
  /** Where in the statement; set when the statement's own text is at fault. */
  position?: string;
}

/**
 * The server is away, shuts down, starts, has no connection, memory or disk left, or has given this connection up.
 * Not 08P01 (protocol_violation): a wrong number of parameters is one, and trying again would not help.
 */
const LOST_STATES = /^(08(?!P01)...|57P0[1-5]|53...|58030|25006|25P0[34])$/;
const LOST_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOENT', // the socket of the embedded server
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
]);
const BUSY: Record<string, string | undefined> = {
  '40001': 'is busy with the same rows',
  '40P01': 'is busy with the same rows',
  '55P03': 'is busy with the same rows',
  '57014': 'did not finish a statement in time',
};
/** pg says these in words only. */
const LOST_WORDS =
  /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|timeout expired|Query read timeout|Cannot use a pool after|Client was closed)/;

/** True when the database is away or too busy, so that trying again later makes sense. */
export function isUnavailable(error: unknown): boolean {
  return databaseFailure(error).kind === 'unavailable';
}

/** True when the connection the error came over is of no more use. */
export function isConnectionLost(error: unknown): boolean {
  if (error instanceof DatabaseFailure) return error.connectionLost;
  if (error instanceof AggregateError) return error.errors.some(isConnectionLost);
  if (error instanceof Failure || !(error instanceof Error)) return false;
  const { code, message } = error as PostgresError;
  if (code === undefined) return LOST_WORDS.test(message);
  return LOST_STATES.test(code) || LOST_CODES.has(code);
}

/** Two transactions met; the same work again may pass (serialization_failure, deadlock_detected). */
export function isRetryable(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === '40001' || code === '40P01' || isStalePlan(error);
}

/** A prepared statement whose tables a migration changed meanwhile (0A000): another connection prepares it anew. */
export function isStalePlan(error: unknown): boolean {
  return (error as { code?: unknown }).code === '0A000';
}

/** Anything thrown by pg as a Failure without values. What is a Failure already stays as it is. */
export function databaseFailure(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  const error = (thrown instanceof Error ? thrown : new Error('unknown fault')) as PostgresError;
  const code = error.code ?? '';
  if (isConnectionLost(thrown))
    return new DatabaseFailure(
      'unavailable',
      `The database is not available (${code || error.message})`,
      error,
      {
        lost: true,
        retryAfterS: 5,
      },
    );
  const busy = BUSY[code];
  if (busy)
    return new DatabaseFailure('unavailable', `The database ${busy} (${code})`, error, { retryAfterS: 2 });
  if (!/^[0-9A-Z]{5}$/.test(code)) return foreign(error);
  const place = (['table', 'column', 'constraint'] as const)
    .filter((name) => error[name] !== undefined)
    .map((name) => `, ${name} ${error[name]}`)
    .join('');
  // The words of an error at a position of the statement quote the statement, which never holds values.
  const words = code.startsWith('42') && error.position !== undefined ? `: ${error.message}` : '';
  // Class 23 is a broken constraint, class 22 a value no column takes (a NUL in a text, a number out of range).
  const kind = code.startsWith('23') ? 'conflict' : code.startsWith('22') ? 'invalid' : 'internal';
  return new DatabaseFailure(kind, `The database refused a statement (${code}${place})${words}`, error);
}

/** A fault of ours on the way to pg (a TypeError, a wrong argument): kept as the cause, which logs show by name. */
function foreign(error: Error): Failure {
  return new Failure('internal', `A statement could not be sent to the database (${error.name})`, {
    cause: error,
  });
}
