/**
 * STOW's way in, as the web door sees it: one WebReception a request, one WebObject a part.
 * Each call crosses to web-thread.ts and waits for its answer, which is the back-pressure.
 */

import { randomUUID } from 'node:crypto';
import type { MessagePort } from 'node:worker_threads';
import { Failure } from '../../failure.ts';
import { fromPlain } from './messages.ts';
import type { Provenance } from './record.ts';
import type { WebAnswer, WebCall } from './web-thread.ts';

export interface WebReception {
  readonly id: string;
  /**
   * Begins one object; the bytes that follow are of the data set alone, the archive makes the File Meta.
   * @throws Failure 'no-space' | 'unavailable'
   */
  begin(object: {
    sopClassUid: string;
    sopInstanceUid: string;
    transferSyntaxUid: string;
  }): Promise<WebObject>;
  /** Counts a part that was refused before it could begin. */
  refused(): void;
  /** Resolves when everything finished here is indexed. @throws Failure 'unavailable' with retryAfterS */
  indexed(): Promise<void>;
  close(outcome: 'answered' | 'aborted'): Promise<void>;
}

export interface WebObject {
  /** The chunk may be reused once this resolves. */
  write(chunk: Uint8Array): Promise<void>;
  /** Durable when it resolves. @throws Failure 'invalid' | 'mismatch' | 'no-space': nothing is kept then */
  finish(): Promise<{ studyUid: string; seriesUid: string; sopUid: string }>;
  abort(): Promise<void>;
}

export interface WebDoor {
  open(from: { actor?: string; address?: string }): Promise<WebReception>;
  /** Answers everything under way with a Failure: the thread is gone. */
  fail(): void;
  /** The thread seals its journal and exits. */
  end(): void;
}

/** How long a STOW waits for the index (DESIGN promise 1). */
const INDEX_LIMIT_MS = 5000;

/** An object waits so long for its turn. */
const TURN_LIMIT_MS = 10_000;

/** @param mostObjects at once: each holds a segment of the journal from its first bytes to its last, however slow it is */
export function createWebDoor(port: MessagePort, mostObjects: number): WebDoor {
  let underWay = 0;
  const line: (() => void)[] = [];
  /** @throws Failure 'unavailable' when no turn comes in time */
  const turn = (): Promise<void> | undefined => {
    if (underWay < mostObjects) {
      underWay++;
      return undefined;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const come = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(() => {
      line.splice(line.indexOf(come), 1);
      const sentence = `${mostObjects} objects come by STOW already, as many as the journal has room for`;
      reject(new Failure('unavailable', sentence, { retryAfterS: 5 }));
    }, TURN_LIMIT_MS);
    line.push(come);
    return promise;
  };
  const leave = (): void => {
    const next = line.shift();
    if (next) next();
    else underWay--;
  };

  let calls = 0;
  let gone = false;
  const pending = new Map<
    number,
    { resolve: (value: unknown) => void; reject: (failure: Failure) => void }
  >();
  const lost = (): Failure =>
    new Failure(
      'unavailable',
      'the intake is restarting; nothing of this request was lost that was answered',
      {
        retryAfterS: 5,
      },
    );

  port.on('message', ({ id, result, failure }: WebAnswer) => {
    const waiting = pending.get(id);
    pending.delete(id);
    if (failure) waiting?.reject(fromPlain(failure));
    else waiting?.resolve(result);
  });

  const call = (message: WebCall): Promise<unknown> => {
    if (gone) return Promise.reject(lost());
    const id = ++calls;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    pending.set(id, { resolve, reject });
    port.postMessage({ ...message, id });
    return promise;
  };

  return {
    async open({ actor, address }) {
      const reception = randomUUID();
      const from: Provenance = {
        reception,
        kind: 'stow',
        openedAt: new Date().toISOString(),
        ...(actor === undefined ? {} : { actor: actor.slice(0, 64) }),
        ...(address === undefined ? {} : { address: address.slice(0, 64) }),
      };
      let objects = 0;
      let refused = 0;
      await call({ call: 'open', reception, from });
      return {
        id: reception,
        async begin(declared) {
          await turn();
          const object = ++objects;
          let over = false;
          const end = (): void => {
            if (!over) leave();
            over = true;
          };
          try {
            await call({ call: 'begin', reception, object, declared });
          } catch (thrown) {
            end();
            throw thrown;
          }
          return {
            async write(chunk) {
              await call({ call: 'write', reception, object, chunk });
            },
            async finish() {
              try {
                return (await call({ call: 'finish', reception, object })) as {
                  studyUid: string;
                  seriesUid: string;
                  sopUid: string;
                };
              } catch (thrown) {
                refused++;
                throw thrown;
              } finally {
                end();
              }
            },
            async abort() {
              try {
                await call({ call: 'abort', reception, object });
              } finally {
                end();
              }
            },
          };
        },
        refused() {
          refused++;
        },
        async indexed() {
          await call({ call: 'indexed', reception, limitMs: INDEX_LIMIT_MS });
        },
        async close(outcome) {
          await call({ call: 'close', reception, outcome, refused });
        },
      };
    },
    fail() {
      gone = true;
      for (const { reject } of pending.values()) reject(lost());
      pending.clear();
    },
    end() {
      // No answer to wait for: the thread ends, and its exit is the answer.
      port.postMessage({ call: 'end', id: 0 });
    },
  };
}
