/**
 * Why a connection could not be made, in words a PACS administrator can act on, with the system's code behind them.
 * Said by outbound-association.ts and by forwarding's STOW client.
 */

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens on that port',
  ECONNRESET: 'the connection was cut',
  EHOSTUNREACH: 'there is no way to that address',
  ENETUNREACH: 'there is no way to that network',
  ENOTFOUND: 'no address is known for that name',
  EAI_AGAIN: 'the name server does not answer',
  ETIMEDOUT: 'no answer came',
};

/** A name with several addresses fails with an AggregateError, which has a code and no message. */
export function connectionFault(error: NodeJS.ErrnoException): string {
  const words = WORDS[error.code ?? ''];
  if (words !== undefined) return `${words} (${error.code})`;
  return error.message || (error.code ?? error.name);
}
