/**
 * The store lane out: a data set's bytes, as given, into P-DATA-TF PDUs of the peer's length (PS3.8 Annex E).
 * outbound-association.ts calls it between the C-STORE-RQ and the wait for the response; nothing is decoded here.
 */
import { Failure } from '../failure.ts';
import { encodePdvPrefix, pdvIsLast } from './pdu.ts';

/** Writes the parts as one burst; settles when the socket takes more, throws when the association is over. */
export type WriteParts = (parts: Uint8Array[]) => Promise<void> | undefined;

/** So much goes to the socket at once: every write wakes the kernel, and the peer. */
const BURST_BYTES = 1024 * 1024;

/**
 * One PDV per PDU, each full but the last. A PDU goes out once the next byte is known, because the last fragment
 * is marked in its header. At most a burst of PDUs and the source's current chunk are held.
 * `length`, where given, is checked against what came, before the last fragment leaves.
 * @param command the C-STORE-RQ as it is written, which leaves with the first PDUs
 */
export async function sendDataSet(
  command: Uint8Array,
  bytes: AsyncIterable<Uint8Array>,
  contextId: number,
  valueLimit: number,
  length: number | undefined,
  write: WriteParts,
): Promise<void> {
  let burst: Uint8Array[] = [command];
  let burstBytes = 0;
  let parts: Uint8Array[] = [];
  let filled = 0;
  let total = 0;
  const leave = (): Promise<void> | undefined => {
    const ready = burst;
    burst = [];
    burstBytes = 0;
    return write(ready);
  };
  for await (const chunk of bytes) {
    let at = 0;
    total += chunk.length;
    while (at < chunk.length) {
      if (filled === valueLimit) {
        burst.push(encodePdvPrefix(contextId, 0, filled), ...parts);
        burstBytes += filled;
        parts = [];
        filled = 0;
        if (burstBytes >= BURST_BYTES) await leave();
      }
      const take = Math.min(valueLimit - filled, chunk.length - at);
      parts.push(chunk.subarray(at, at + take));
      filled += take;
      at += take;
    }
    // A source may be slow: the peer gets what there is. Of the last chunk all goes together.
    if (burstBytes > 0 && total !== length) await leave();
  }
  if (total === 0)
    throw new Failure('invalid', 'The object has an empty data set, which C-STORE cannot carry');
  if (length !== undefined && total !== length) {
    throw new Failure('mismatch', `The data set was to be ${length} bytes long and came as ${total}`);
  }
  await write([...burst, encodePdvPrefix(contextId, pdvIsLast, filled), ...parts]);
}
