/**
 * A DICOM node as people write it: AET@HOST:PORT. Read by the verbs that call one (echo, send, modality).
 */
import { parseAeTitle } from '../dicom/ae-title.ts';
import { asFailure, Failure } from '../failure.ts';

/** Where Isocenter listens when nothing else is said. */
export const FIRST_NODE = 'ISOCENTER@127.0.0.1:11112';

export interface Target {
  aeTitle: string;
  host: string;
  port: number;
  /** AET@HOST:PORT again, for messages. */
  text: string;
}

/** An IPv6 address stands in brackets: AET@[::1]:11112. Failure 'invalid' says which part is wrong. */
export function parseTarget(text: string): Target {
  const parts = /^(.*)@(?:\[([^\]]+)\]|([^:@]+)):(\d+)$/.exec(text);
  if (!parts) throw new Failure('invalid', `"${text}" is not a DICOM node: write it as AET@HOST:PORT`);
  const port = Number(parts[4]);
  if (port < 1 || port > 65_535) throw new Failure('invalid', `"${text}" has a port outside 1 to 65535`);
  try {
    return { aeTitle: parseAeTitle(parts[1] ?? ''), host: parts[2] ?? parts[3] ?? '', port, text };
  } catch (cause) {
    throw new Failure('invalid', `"${text}": ${asFailure(cause).message}`, { cause });
  }
}
