/**
 * What a STOW-RS answer (PS3.18 10.5.3) says of each instance of a request, or of the request as a whole.
 * Pure; stow-scu.ts reads the answer and gives the verdicts to the ledger.
 */
import { status as dimseStatus } from '../dimse/status.ts';
import { judge, peerWords, type Verdict } from './judge.ts';

export interface StowAnswer {
  readonly status: number;
  /** Parsed application/dicom+json; undefined when there was none or it was something else. */
  readonly body: unknown;
  /** Milliseconds, from Retry-After. */
  readonly retryAfterMs: number | undefined;
  /** Lower case; '' when there was none. */
  readonly contentType: string;
  /** It came before the server had all of the request. */
  readonly isEarly: boolean;
}

export type StowJudgement =
  | { readonly kind: 'instances'; readonly verdicts: ReadonlyMap<string, Verdict> }
  /** The request cannot be split by what was said: sent again one by one, each has its own answer. */
  | { readonly kind: 'unclear'; readonly verdict: Verdict }
  /**
   * Not about single instances: the peer is busy or away (down), or refuses the request as such. Amid: what was sent may
   * be the cause all the same, a study that a gateway is always too slow for.
   */
  | { readonly kind: 'whole'; readonly down: boolean; readonly amid: boolean; readonly reason: string };

const FAILED_SOP_SEQUENCE = '00081198';
const REFERENCED_SOP_SEQUENCE = '00081199';
const REFERENCED_SOP_INSTANCE_UID = '00081155';
const FAILURE_REASON = '00081197';
const WARNING_REASON = '00081196';

/** The request was not understood or not allowed; no instance was looked at. */
const REFUSED_WHOLE = new Set([401, 402, 403, 404, 405, 406, 407, 410, 421, 451, 501, 505]);
/** The server, or one before it, says "not now". */
const TOO_MANY = 429;
const BUSY = new Set([408, 425, TOO_MANY, 502, 503, 504, 507]);

export function judgeStow(
  answer: StowAnswer,
  sopUids: readonly string[],
  identifying: readonly string[],
): StowJudgement {
  const { status } = answer;
  const words = httpWords(status, answer.body, identifying);
  if (status >= 300 && status < 400)
    return {
      kind: 'whole',
      down: false,
      amid: false,
      reason: `${words}: it redirects; give its final URL as the destination`,
    };
  if (REFUSED_WHOLE.has(status)) return { kind: 'whole', down: false, amid: false, reason: words };
  if (BUSY.has(status)) return { kind: 'whole', down: true, amid: status !== TOO_MANY, reason: words };
  const named = namedInstances(answer.body);
  if (named.size > 0 || (status >= 200 && status < 300)) {
    if (status >= 500) return { kind: 'unclear', verdict: { state: 'owed', status, comment: words } };
    // Only an instance that is named was stored: a login page answers 200, too, and so does Orthanc for parts it skipped.
    const unnamed: Verdict = {
      state: 'failed',
      status,
      comment: `${words}, but the answer does not say that this instance was stored`,
    };
    const timely = (verdict: Verdict): Verdict => (answer.isEarly ? notYetThere(verdict) : verdict);
    return {
      kind: 'instances',
      verdicts: new Map(sopUids.map((uid) => [uid, timely(named.get(uid) ?? unnamed)])),
    };
  }
  const state = status >= 500 ? 'owed' : 'failed';
  return { kind: 'unclear', verdict: { state, status, comment: words } };
}

/** A server that stores something says so when it has all of it; a refusal may come before. */
function notYetThere(verdict: Verdict): Verdict {
  const says = verdict.state === 'delivered' || verdict.state === 'warning';
  // That it has it from before it may know as well.
  if (!says || verdict.status === dimseStatus.duplicateSopInstance) return verdict;
  return { state: 'owed', comment: 'it said that it stored the instance before it had all of the request' };
}

/** Verdicts by SOP Instance UID, as far as the answer names instances. */
function namedInstances(body: unknown): Map<string, Verdict> {
  const verdicts = new Map<string, Verdict>();
  for (const item of items(body, REFERENCED_SOP_SEQUENCE)) {
    const uid = firstValue(item, REFERENCED_SOP_INSTANCE_UID);
    const warning = Number(firstValue(item, WARNING_REASON) ?? 0);
    if (typeof uid === 'string') verdicts.set(uid, judge(Number.isInteger(warning) ? warning : 0));
  }
  for (const item of items(body, FAILED_SOP_SEQUENCE)) {
    const uid = firstValue(item, REFERENCED_SOP_INSTANCE_UID);
    const reason = Number(firstValue(item, FAILURE_REASON) ?? Number.NaN);
    // A reason of 0, or none, stands in the list of failures all the same.
    if (typeof uid === 'string')
      verdicts.set(uid, judge(Number.isInteger(reason) && reason > 0 ? reason : 0x0110));
  }
  return verdicts;
}

/** Items of a sequence at the root; some servers wrap the data set in an array. */
function items(body: unknown, tag: string): object[] {
  const root: unknown = Array.isArray(body) ? body[0] : body;
  const value = isObject(root) ? root[tag] : undefined;
  const list = isObject(value) ? value.Value : undefined;
  return Array.isArray(list) ? list.filter(isObject) : [];
}

function firstValue(item: object, tag: string): unknown {
  const element = (item as Record<string, unknown>)[tag];
  const list = isObject(element) ? element.Value : undefined;
  return Array.isArray(list) ? list[0] : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

const NAMES: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  507: 'Insufficient Storage',
};

/** "HTTP 401 Unauthorized: ..." with the words of common JSON errors, without patient data. */
export function httpWords(status: number, body: unknown, identifying: readonly string[]): string {
  const name = NAMES[status] === undefined ? '' : ` ${NAMES[status]}`;
  const said = isObject(body)
    ? ['message', 'Message', 'Details', 'error', 'errorMessage']
        .map((key) => body[key])
        .find((text) => typeof text === 'string')
    : undefined;
  const words = peerWords(typeof said === 'string' ? said : undefined, identifying);
  return `HTTP ${status}${name}${words ? `: ${words}` : ''}`;
}
