/** What load.ts asks of load-client.ts, the process that sends the requests, and what that answers. */

export interface Request {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface LoadJob {
  readonly port: number;
  /** Sent one after the other, again from the start when they are through; connections share the order. */
  readonly requests: readonly Request[];
  /** Kept alive, one request at a time on each. */
  readonly connections: number;
  /** Requests that come before and are not counted. */
  readonly warmUp: number;
  /** No request begins later. */
  readonly seconds: number;
  readonly atMost: number;
  /** Give back the first answer that counts, body and all. */
  readonly keepFirst: boolean;
}

export interface LoadOutcome {
  /** From the request's writing to the last byte of its answer, in the order of their ends. */
  readonly ms: readonly number[];
  /** First request to last answer. */
  readonly wallSeconds: number;
  /** Of all bodies. */
  readonly bytes: number;
  /** How many answers had this status. */
  readonly statuses: Readonly<Record<number, number>>;
  readonly first: { readonly head: string; readonly body: Uint8Array } | undefined;
}

export type LoadReply = { readonly outcome: LoadOutcome } | { readonly error: string };
