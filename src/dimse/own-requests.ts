/**
 * Our own requests on an association that a peer opened: an N-EVENT-REPORT on the association of the N-ACTION
 * (PS3.4 J.3.3). Kept by inbound-messages.ts, which sends between the peer's messages and gives the responses back.
 */
import { Failure } from '../failure.ts';
import type { CommandSet } from './command-set.ts';
import { encodeOperation, type OperationOutcome, type OutgoingOperation, outcomeOf } from './operation.ts';

interface Waiter {
  resolve(outcome: OperationOutcome): void;
  reject(failure: Failure): void;
}

export class OwnRequests {
  /** By message ID; one whose caller waits no more stays, so that its late response is no fault of the peer. */
  readonly #asked = new Map<number, Waiter>();
  #messageId = 0;

  /** @throws Failure 'peer-unreachable' when the association ends before the response, 'too-large' */
  send(
    operation: OutgoingOperation,
    context: { id: number; transferSyntaxUid: string },
    valueLimit: number,
    write: (message: Buffer) => void,
  ): Promise<OperationOutcome> {
    this.#messageId = (this.#messageId % 0xffff) + 1;
    const messageId = this.#messageId;
    const message = encodeOperation(operation, messageId, context, valueLimit);
    const answered = new Promise<OperationOutcome>((resolve, reject) =>
      this.#asked.set(messageId, { resolve, reject }),
    );
    write(message);
    return answered;
  }

  /** @returns whether the response is to a request of ours */
  answered(response: CommandSet): boolean {
    const messageId = response.MessageIDBeingRespondedTo ?? -1;
    const waiter = this.#asked.get(messageId);
    this.#asked.delete(messageId);
    waiter?.resolve(outcomeOf(response));
    return waiter !== undefined;
  }

  /** The association is over. */
  cut(reason: string): void {
    for (const { reject } of this.#asked.values()) reject(new Failure('peer-unreachable', reason));
    this.#asked.clear();
  }
}
