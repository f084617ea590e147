/**
 * Reads HTTP/1.1 answers (RFC 9112) off a connection as cheaply as can be: heads are parsed, bodies are counted and only
 * kept when asked for. Pure; load-client.ts feeds it what the socket brings.
 */

export interface Answer {
  readonly status: number;
  /** The head as it came, in lower case. */
  readonly head: string;
  /** Of the body, without chunk framing. */
  readonly bytes: number;
  readonly body: Buffer | undefined;
  /** The server ends the connection behind this answer. */
  readonly last: boolean;
}

export interface AnswerReader {
  /** @throws Error when it is no HTTP/1.1 answer */
  feed(chunk: Buffer): void;
  /** The server has closed: an answer without a length ends here. */
  closed(): void;
  /** Keep the bodies of the answers from now on. */
  keepBodies(keep: boolean): void;
}

type Expecting = 'head' | 'body' | 'chunk size' | 'chunk' | 'chunk end' | 'trailer' | 'all until close';

const LONGEST_HEAD = 64 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n');
const LINE_END = Buffer.from('\r\n');
/** A body that is kept is looked into; nothing that long is. */
const MOST_KEPT = 256 * 1024 * 1024;

export function createAnswerReader(onAnswer: (answer: Answer) => void): AnswerReader {
  let expecting: Expecting = 'head';
  let head: Buffer = Buffer.alloc(0);
  let headText = '';
  let status = 0;
  /** Of the body, or of the chunk. */
  let missing = 0;
  let bytes = 0;
  let keep = false;
  let kept: Buffer[] = [];

  const done = (): void => {
    const answer: Answer = {
      status,
      head: headText,
      bytes,
      body: keep ? Buffer.concat(kept) : undefined,
      last: expecting === 'all until close' || /\r\nconnection: *close/.test(headText),
    };
    expecting = 'head';
    bytes = 0;
    kept = [];
    onAnswer(answer);
  };

  const take = (piece: Buffer): void => {
    bytes += piece.length;
    if (!keep || piece.length === 0) return;
    if (bytes > MOST_KEPT) throw new Error('An answer that was to be kept is too long');
    // What the socket brings lies in a buffer that it uses again.
    kept.push(Buffer.from(piece));
  };

  /** Gathers up to and with `end`; undefined until it is there. */
  const line = (chunk: Buffer, at: number, end: Buffer): { text: string; next: number } | undefined => {
    const before = head.length;
    head = Buffer.concat([head, chunk.subarray(at, at + LONGEST_HEAD)]);
    const found = head.indexOf(end);
    if (found < 0) {
      if (head.length >= LONGEST_HEAD) throw new Error('An HTTP head or line is too long');
      return undefined;
    }
    const text = head.toString('latin1', 0, found);
    head = Buffer.alloc(0);
    return { text, next: at + found + end.length - before };
  };

  const readHead = (text: string): void => {
    headText = text.toLowerCase();
    const match = /^http\/1\.1 (\d{3})/.exec(headText);
    if (!match) throw new Error(`No HTTP/1.1 answer: ${headText.slice(0, 40)}`);
    status = Number(match[1]);
    const length = /\r\ncontent-length: *(\d+)/.exec(headText);
    if (/\r\ntransfer-encoding: *chunked/.test(headText)) expecting = 'chunk size';
    else if (length || status === 204 || status === 304) {
      expecting = 'body';
      missing = Number(length?.[1] ?? 0);
      if (missing === 0) done();
    } else expecting = 'all until close';
  };

  return {
    feed(chunk) {
      for (let at = 0; at < chunk.length; ) {
        if (expecting === 'all until close') {
          take(chunk.subarray(at));
          return;
        }
        if (expecting === 'body' || expecting === 'chunk') {
          const piece = chunk.subarray(at, at + missing);
          take(piece);
          at += piece.length;
          missing -= piece.length;
          if (missing > 0) continue;
          if (expecting === 'body') done();
          else expecting = 'chunk end';
          continue;
        }
        const found = line(chunk, at, expecting === 'head' ? HEAD_END : LINE_END);
        if (!found) return;
        at = found.next;
        if (expecting === 'head') readHead(found.text);
        else if (expecting === 'chunk size') {
          missing = Number.parseInt(found.text, 16);
          if (Number.isNaN(missing)) throw new Error('A chunk has no size');
          expecting = missing === 0 ? 'trailer' : 'chunk';
        } else if (expecting === 'chunk end') expecting = 'chunk size';
        else if (found.text === '') done();
      }
    },
    closed() {
      if (expecting === 'all until close') done();
    },
    keepBodies(now) {
      keep = now;
    },
  };
}
