/**
 * How a Failure leaves this door: its HTTP status (PS3.18 8.5) and a small JSON sentence without patient data.
 * Wrapped around every DICOMweb route by routes.ts.
 */
import type { Context, Next } from 'koa';
import { asFailure, type FailureKind } from '../failure.ts';
import type { Log } from '../log.ts';

export const HTTP_STATUS: Readonly<Record<FailureKind, number>> = {
  invalid: 400,
  mismatch: 409,
  'not-found': 404,
  conflict: 409,
  forbidden: 403,
  'not-acceptable': 406,
  unsupported: 501,
  'too-large': 413,
  'no-space': 507,
  unavailable: 503,
  'peer-refused': 502,
  'peer-unreachable': 504,
  internal: 500,
};

const RETRY_AFTER_S = 5;

/** Answers what the routes throw; once the first byte has left, only the connection can tell the client. */
export function answerFailures(log: Log): (ctx: Context, next: Next) => Promise<void> {
  return async (ctx, next) => {
    try {
      await next();
    } catch (thrown) {
      // A client that went away has nobody to answer to.
      if (ctx.req.socket.destroyed) return;
      const failure = asFailure(thrown);
      if (failure.kind === 'internal') log.error({ err: thrown, route: ctx.routerPath }, 'request failed');
      if (ctx.headerSent) {
        ctx.res.destroy();
        return;
      }
      answerFailure(ctx, HTTP_STATUS[failure.kind], failure);
    }
  };
}

/** The same for a status of the route's own. */
export function answerFailure(
  ctx: Context,
  status: number,
  failure: { kind: FailureKind; message: string; retryAfterS?: number | undefined },
): void {
  // Of the answer that was to come.
  for (const name of ['ETag', 'Content-Length', 'Content-Encoding', 'Content-Disposition', 'Warning'])
    ctx.remove(name);
  ctx.status = status;
  if (status === 503) ctx.set('Retry-After', String(failure.retryAfterS ?? RETRY_AFTER_S));
  ctx.set('Cache-Control', 'no-store');
  ctx.type = 'application/json';
  ctx.body = JSON.stringify({
    error: failure.kind,
    message: failure.kind === 'internal' ? 'Something went wrong here; the log says what' : failure.message,
  });
}
