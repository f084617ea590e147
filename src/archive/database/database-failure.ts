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

  constructor(kind: FailureKind, message: string, error: PostgresError, retryAfterS?: number) {
    super(kind, message, retryAfterS === undefined ? {} : { retryAfterS });
    this.name = 'DatabaseFailure';
    this.code = error.code;
    this.table = error.table;
    this.column = error.column;
    this.constraint = error.constraint;
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

/** The server is away, shuts down, starts, or has no connection, memory or disk left; or the way to it is cut. */
const UNAVAILABLE_STATES = /^(08...|57P0[1-5]|53...|58030|25006)$/;
const UNAVAILABLE_CODES = new Set([
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
/** pg says these in words only. */
const UNAVAILABLE_WORDS =
  /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|timeout expired|Query read timeout|Cannot use a pool after|Client was closed)/;

/** True when the database cannot be reached now, so that trying again later makes sense. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof Failure) return error.kind === 'unavailable';
  if (error instanceof AggregateError) return error.errors.some(isUnavailable);
  if (!(error instanceof Error)) return false;
  const { code, message } = error as PostgresError;
  if (code === undefined) return UNAVAILABLE_WORDS.test(message);
  return UNAVAILABLE_STATES.test(code) || UNAVAILABLE_CODES.has(code);
}

/** Two transactions met; the same work again may pass (serialization_failure, deadlock_detected). */
export function isRetryable(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === '40001' || code === '40P01';
}

/** Anything thrown by pg as a Failure without values. What is a Failure already stays as it is. */
export function databaseFailure(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  const error = (thrown instanceof Error ? thrown : new Error('unknown fault')) as PostgresError;
  const code = error.code ?? '';
  if (isUnavailable(thrown))
    return new DatabaseFailure(
      'unavailable',
      `The database is not available (${code || error.message})`,
      error,
      5,
    );
  if (isRetryable(error) || code === '55P03')
    return new DatabaseFailure('unavailable', `The database is busy with the same rows (${code})`, error, 1);
  if (code === '57014')
    return new DatabaseFailure(
      'unavailable',
      'The database did not finish a statement in time (57014)',
      error,
      5,
    );
  if (!/^[0-9A-Z]{5}$/.test(code)) return foreign(error);
  const place = (['table', 'column', 'constraint'] as const)
    .filter((name) => error[name] !== undefined)
    .map((name) => `, ${name} ${error[name]}`)
    .join('');
  // The words of an error at a position of the statement quote the statement, which never holds values.
  const words = code.startsWith('42') && error.position !== undefined ? `: ${error.message}` : '';
  const kind = code.startsWith('23') ? 'conflict' : 'internal';
  return new DatabaseFailure(kind, `The database refused a statement (${code}${place})${words}`, error);
}

/** A fault of ours on the way to pg (a TypeError, a wrong argument): kept as the cause, which logs show by name. */
function foreign(error: Error): Failure {
  return new Failure('internal', `A statement could not be sent to the database (${error.name})`, {
    cause: error,
  });
}
