/**
 * An HTTP proxy that does what networks and busy servers do: refuses, answers 409 or 503, loses the answer after the
 * request was carried out, delays. It stands between Isocenter and a FHIR, STOW or S3 peer, and keeps a list of requests.
 */
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export type Fault =
  /** Answers by itself; the target never sees the request. */
  | { kind: 'answer'; status: number; headers?: Record<string, string>; body?: string }
  /** Closes the connection before the target sees the request. */
  | { kind: 'refuse' }
  /** Lets the target carry the request out, then closes the connection without its answer. */
  | { kind: 'lose-answer' }
  /** Takes the request and never answers, until the client gives up. */
  | { kind: 'hang' }
  /** The target's answer with other headers: a server that tells something else than it has. */
  | { kind: 'lie'; headers: Readonly<Record<string, string>> }
  /** Forwards after a while. */
  | { kind: 'delay'; ms: number };

export interface FaultRule {
  readonly fault: Fault;
  /** How many matching requests it strikes; default 1, Infinity for all. */
  readonly times?: number;
  /** Default every request. */
  readonly when?: (request: ProxiedRequest) => boolean;
}

export interface ProxiedRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  /** Status the client got; undefined when its connection was cut or is still open. */
  status?: number;
}

export interface FaultProxy {
  /** The target's URL with the proxy's host and port, so a base path stays. */
  readonly url: string;
  readonly requests: readonly ProxiedRequest[];
  /** Adds a rule; the first rule that matches and has strikes left is applied. */
  inject(rule: FaultRule): void;
  /** Forgets all rules and the list of requests. */
  clear(): void;
  stop(): Promise<void>;
}

export async function startFaultProxy(targetUrl: string): Promise<FaultProxy> {
  const target = new URL(targetUrl);
  const requests: ProxiedRequest[] = [];
  let rules: { rule: FaultRule; left: number }[] = [];

  const pickFault = (request: ProxiedRequest): Fault | undefined => {
    const found = rules.find(({ rule, left }) => left > 0 && (rule.when?.(request) ?? true));
    if (found) found.left -= 1;
    return found?.rule.fault;
  };

  const forward = (
    request: IncomingMessage,
    response: ServerResponse,
    entry: ProxiedRequest,
    fault?: Fault,
  ) => {
    const onward = httpRequest(
      {
        host: target.hostname,
        port: target.port,
        method: request.method,
        path: request.url,
        // The Host header stays the client's: an S3 request is signed with it.
        headers: request.headers,
      },
      (answer) => {
        if (fault?.kind === 'lose-answer') {
          // Only when the target is done is the answer "lost".
          answer.resume().once('end', () => response.destroy());
          return;
        }
        entry.status = answer.statusCode ?? 0;
        response.writeHead(entry.status, {
          ...answer.headers,
          ...(fault?.kind === 'lie' ? fault.headers : {}),
        });
        answer.pipe(response);
      },
    );
    onward.once('error', () => response.destroy());
    response.once('close', () => onward.destroy());
    request.pipe(onward);
  };

  const server = createServer((request, response) => {
    const entry: ProxiedRequest = {
      method: request.method ?? 'GET',
      path: request.url ?? '/',
      headers: request.headers,
    };
    requests.push(entry);
    const fault = pickFault(entry);
    switch (fault?.kind) {
      case 'answer':
        request.resume();
        entry.status = fault.status;
        response.writeHead(fault.status, fault.headers).end(fault.body ?? '');
        return;
      case 'hang':
        request.resume();
        return;
      case 'refuse':
        request.socket.destroy();
        return;
      case 'delay':
        void sleep(fault.ms).then(() => forward(request, response, entry));
        return;
      default:
        forward(request, response, entry, fault);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (!address || typeof address === 'string') throw new Error('the fault proxy has no port');
  const url = new URL(targetUrl);
  url.hostname = '127.0.0.1';
  url.port = String(address.port);
  return {
    url: url.href.replace(/\/$/, ''),
    requests,
    inject(rule) {
      rules.push({ rule, left: rule.times ?? 1 });
    },
    clear() {
      rules = [];
      requests.length = 0;
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
