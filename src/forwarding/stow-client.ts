/**
 * One HTTP request to a STOW-RS server: a multipart/related body of Part 10 files, streamed with back-pressure, and
 * the answer, bounded. Over node:http, because the length is known beforehand and many servers refuse chunked bodies.
 * Called by stow-scu.ts and test-destination.ts; what the answer means stands in stow-answer.ts.
 */
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { connectionFault } from '../dimse/connection-fault.ts';
import { Failure } from '../failure.ts';
import type { StowSettings } from '../routing/stow-destination.ts';
import { tlsOptions } from '../routing/tls-settings.ts';
import type { SendTimeouts } from './attempt.ts';
import type { TokenSource } from './oauth-token.ts';
import type { StowAnswer } from './stow-answer.ts';

export interface StowPart {
  /** Bytes of the whole Part 10 file. */
  readonly length: number;
  open(): AsyncIterable<Uint8Array>;
}

export interface StowClient {
  /**
   * @param beforeBytes awaited once the server is connected, before the first byte of a part leaves
   * @throws Failure 'peer-unreachable' when there is no answer, 'peer-refused' without a token; what `open` throws when a source cannot be read
   */
  store(
    studyUid: string,
    parts: readonly StowPart[],
    beforeBytes: () => Promise<void>,
    signal: AbortSignal,
  ): Promise<StowAnswer>;
  /** GET of a path below the DICOMweb root; the body is not kept. */
  probe(path: string): Promise<StowAnswer>;
  close(): void;
}

const MAX_ANSWER_BYTES = 1024 * 1024;
/** Nobody means an answer of this length; what is behind it is not waited for. */
const MAX_DRAINED_BYTES = 256 * MAX_ANSWER_BYTES;

export function createStowClient(
  settings: StowSettings,
  timeouts: SendTimeouts,
  tokens: TokenSource,
): StowClient {
  const secure = settings.url.startsWith('https:');
  const agentOptions = { keepAlive: true, maxSockets: 1 };
  const agent = secure
    ? new https.Agent({ ...agentOptions, ...tlsOptions(settings.tls ?? {}) })
    : new http.Agent(agentOptions);
  const { host } = new URL(settings.url);

  function request(
    method: string,
    path: string,
    headers: http.OutgoingHttpHeaders,
    body: { bytes: AsyncIterable<Uint8Array>; length: number } | undefined,
    signal?: AbortSignal,
  ): Promise<StowAnswer> {
    return new Promise((resolve, reject) => {
      let settled = false;
      let answering = false;
      /** Of the body, and given to the connection. */
      let given = 0;
      let reading: NodeJS.Timeout | undefined;
      const finish = (settle: () => void): void => {
        if (settled) return;
        settled = true;
        clearTimeout(connecting);
        clearTimeout(reading);
        signal?.removeEventListener('abort', onAbort);
        settle();
      };
      const unreachable = (why: string, cause?: unknown): void =>
        finish(() => {
          request.destroy();
          reject(new Failure('peer-unreachable', `${host} did not answer: ${why}`, { cause }));
        });
      const onAbort = (): void => unreachable('we ended the request');

      const request = (secure ? https : http).request(`${settings.url}${path}`, {
        method,
        agent,
        headers: {
          accept: 'application/dicom+json',
          ...settings.headers,
          ...headers,
        },
      });
      const connecting = setTimeout(
        () => unreachable(`no connection within ${timeouts.connectMs} ms`),
        timeouts.connectMs,
      );
      request.on('socket', (socket) => {
        socket.setNoDelay(true);
        const connected = (): void => {
          clearTimeout(connecting);
          if (!body) return;
          const counted = (bytes: number): boolean => {
            given += bytes;
            return answering;
          };
          writeBody(request, body.bytes, counted).catch((thrown: unknown) => {
            // The source failed, not the peer: half a body is taken back by closing the connection.
            finish(() => {
              request.destroy();
              reject(thrown);
            });
          });
        };
        if (socket.connecting) socket.once(secure ? 'secureConnect' : 'connect', connected);
        else connected();
      });
      request.setTimeout(timeouts.answerMs, () => unreachable(`nothing moved for ${timeouts.answerMs} ms`));
      request.on('error', (error: NodeJS.ErrnoException) => unreachable(connectionFault(error), error));
      request.on('response', (response) => {
        answering = true;
        // However it trickles: a status without its end says nothing of the instances.
        reading = setTimeout(
          () => unreachable(`its answer did not end within ${timeouts.answerMs} ms`),
          timeouts.answerMs,
        );
        const isEarly = body !== undefined && given < body.length;
        readAnswer(response).then(
          (answer) =>
            finish(() => {
              // An answer before the end of the body leaves a connection that is good for nothing more.
              if (!request.writableFinished) request.destroy();
              resolve({ ...answer, isEarly });
            }),
          (error: unknown) =>
            unreachable(error instanceof Error ? error.message : 'the answer broke off', error),
        );
      });
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted) return onAbort();
      if (!body) request.end();
    });
  }

  /** With a token where the destination has oauth; one that is not taken (any more) is renewed once. */
  async function authorized(
    ask: (headers: http.OutgoingHttpHeaders) => Promise<StowAnswer>,
  ): Promise<StowAnswer> {
    const token = await tokens.token(settings);
    if (token === undefined) return ask({});
    const answer = await ask({ authorization: `Bearer ${token}` });
    if (answer.status !== 401) return answer;
    return ask({ authorization: `Bearer ${await tokens.token(settings, token)}` });
  }

  return {
    async store(studyUid, parts, beforeBytes, signal) {
      const boundary = `isocenter-${randomUUID()}`;
      const heads = parts.map((part, index) => partHead(boundary, part, index === 0));
      const tail = Buffer.from(`\r\n--${boundary}--\r\n`, 'latin1');
      const length =
        heads.reduce((sum, head) => sum + head.length, tail.length) +
        parts.reduce((sum, part) => sum + part.length, 0);
      let told: Promise<void> | undefined;
      const tellOnce = (): Promise<void> => {
        told ??= beforeBytes();
        return told;
      };
      return authorized((headers) =>
        request(
          'POST',
          `/studies/${studyUid}`,
          {
            ...headers,
            'content-type': `multipart/related; type="application/dicom"; boundary=${boundary}`,
            'content-length': length,
          },
          { bytes: bodyOf(parts, heads, tail, tellOnce), length },
          signal,
        ),
      );
    },
    probe: (path) => authorized((headers) => request('GET', path, headers, undefined)),
    close: () => agent.destroy(),
  };
}

/** The bare media type: Orthanc 1.10 skips parts whose type has a parameter, and the file names its own syntax. */
function partHead(boundary: string, part: StowPart, first: boolean): Buffer {
  return Buffer.from(
    `${first ? '' : '\r\n'}--${boundary}\r\nContent-Type: application/dicom\r\n` +
      `Content-Length: ${part.length}\r\n\r\n`,
    'latin1',
  );
}

async function* bodyOf(
  parts: readonly StowPart[],
  heads: readonly Buffer[],
  tail: Buffer,
  beforeBytes: () => Promise<void>,
): AsyncGenerator<Uint8Array> {
  await beforeBytes();
  for (const [index, part] of parts.entries()) {
    yield heads[index]!;
    yield* part.open();
  }
  yield tail;
}

/**
 * Stops quietly when the request is over: its answer or its error says why.
 * @param given told of bytes before they are written. @returns whether it is answered already
 */
async function writeBody(
  request: http.ClientRequest,
  body: AsyncIterable<Uint8Array>,
  given: (bytes: number) => boolean,
): Promise<void> {
  for await (const chunk of body) {
    if (request.destroyed || given(0)) return;
    given(chunk.length);
    if (!request.write(chunk)) await drained(request);
  }
  request.end();
}

/** An answer that comes before the body is read (413, 401) ends the wait as well. */
function drained(request: http.ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const events = ['drain', 'close', 'response'] as const;
    const done = (): void => {
      for (const event of events) request.off(event, done);
      resolve();
    };
    for (const event of events) request.on(event, done);
  });
}

async function readAnswer(response: http.IncomingMessage): Promise<Omit<StowAnswer, 'isEarly'>> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    // Longer answers are read to their end, so that the connection can be used again, but not kept.
    if (length <= MAX_ANSWER_BYTES) chunks.push(chunk);
    if (length > MAX_DRAINED_BYTES) break;
  }
  return {
    status: response.statusCode ?? 0,
    body: length <= MAX_ANSWER_BYTES ? parsed(Buffer.concat(chunks).toString('utf8')) : undefined,
    retryAfterMs: retryAfterMs(response.headers['retry-after']),
    contentType: (response.headers['content-type'] ?? '').slice(0, 100).toLowerCase(),
  };
}

function parsed(text: string): unknown {
  if (!/^\s*[{[]/.test(text)) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch (thrown) {
    // An answer that is no JSON says nothing of single instances; the status still counts.
    if (thrown instanceof SyntaxError) return undefined;
    throw thrown;
  }
}

function retryAfterMs(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}
