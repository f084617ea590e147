/**
 * The store lane out: a data set's bytes, as given, into P-DATA-TF PDUs of the peer's length (PS3.8 Annex E).
 * outbound-association.ts calls it between the C-STORE-RQ and the wait for the response; nothing is decoded here.
 */
import { Failure } from '../failure.ts';
import { encodePdvPrefix, pdvIsLast } from './pdu.ts';

/** Writes the parts as one burst; settles when the socket takes more, throws when the association is over. */
export type WriteParts = (parts: Uint8Array[]) => Promise<void> | undefined;

/**
 * One PDV per PDU, each full but the last. A PDU goes out once the next byte is known, because the last fragment
 * is marked in its header. At most one PDU's bytes and the source's current chunk are held.
 * `length`, where given, is checked against what came, before the last fragment leaves.
 */
export async function sendDataSet(
  bytes: AsyncIterable<Uint8Array>,
  contextId: number,
  valueLimit: number,
  length: number | undefined,
  write: WriteParts,
): Promise<void> {
  let parts: Uint8Array[] = [];
  let filled = 0;
  let total = 0;
  for await (const chunk of bytes) {
    let at = 0;
    total += chunk.length;
    while (at < chunk.length) {
      if (filled === valueLimit) {
        const written = write([encodePdvPrefix(contextId, 0, filled), ...parts]);
        if (written) await written;
        parts = [];
        filled = 0;
      }
      const take = Math.min(valueLimit - filled, chunk.length - at);
      parts.push(chunk.subarray(at, at + take));
      filled += take;
      at += take;
    }
  }
  if (total === 0)
    throw new Failure('invalid', 'The object has an empty data set, which C-STORE cannot carry');
  if (length !== undefined && total !== length) {
    throw new Failure('mismatch', `The data set was to be ${length} bytes long and came as ${total}`);
  }
  await write([encodePdvPrefix(contextId, pdvIsLast, filled), ...parts]);
}
