/**
 * Reads PDUs and PDVs from a stream of chunks split anywhere (PS3.8 9.3), used by both associations.
 * PDV bytes go on as views of the chunk in which they came, so a P-DATA-TF PDU is never gathered;
 * all other PDUs are short and are gathered whole, within their limits.
 * A callback that returns a promise holds the reader, and with it the socket, until it settles.
 */
import { abortReason, pduHeaderLength, pduType, pdvHeaderLength, pdvIsLast } from './pdu.ts';

/** Nothing: go on at once. A promise: wait for it; it must not reject. */
export type Hold = void | Promise<void>;

export interface PduHandler {
  /** A whole PDU other than P-DATA-TF, header included. The buffer is the receiver's to keep. */
  pdu(type: number, pdu: Buffer): Hold;
  /**
   * Bytes of a PDV: `bytes` is valid during the call, or until the returned promise settles.
   * `end` marks the PDV's last bytes; a PDV without a value comes as one empty fragment.
   * A message's last PDV with more behind it in its PDU ends, with an empty fragment, only once a PDV header was read
   * there that fits: a PDV length that is too short must not make a shorter message of a longer one.
   */
  fragment(contextId: number, control: number, bytes: Buffer, end: boolean): Hold;
  /** The stream breaks PS3.8; nothing more is read. The reason is one of Table 9-26. */
  fault(reason: number, sentence: string): void;
  /** Called around a hold, to pause and resume the socket. */
  pause(): void;
  resume(): void;
}

export interface PduLimits {
  /** Longest P-DATA-TF PDU (its length field): what we announced as Maximum Length Received. */
  maxPduLength: number;
  /** Longest A-ASSOCIATE-RQ or -AC. */
  maxAssociatePduLength: number;
}

/** A-ASSOCIATE-RJ, A-RELEASE and A-ABORT are 4 bytes long (PS3.8 9.3.4 to 9.3.8); some room for the careless. */
const maxShortPduLength = 64;

export class PduReader {
  readonly #handler: PduHandler;
  readonly #limits: PduLimits;
  readonly #waiting: Buffer[] = [];
  #held = false;
  #stopped = false;

  /** Header of the PDU or PDV under way, filled to #headerFill. */
  readonly #header = Buffer.alloc(pduHeaderLength);
  #headerFill = 0;
  /** What the next bytes are. */
  #state: 'pdu-header' | 'short-pdu' | 'pdv-header' | 'pdv-value' = 'pdu-header';
  #shortPdu: Buffer = Buffer.alloc(0);
  #shortPduFill = 0;
  /** Bytes left of the P-DATA-TF PDU, PDV headers included, and of the PDV value in it. */
  #pduLeft = 0;
  #pdvLeft = 0;
  #contextId = 0;
  #control = 0;
  /** The end of the PDV before is still to be told. */
  #endOwed = false;

  constructor(limits: PduLimits, handler: PduHandler) {
    this.#limits = limits;
    this.#handler = handler;
  }

  /** Whether a callback's promise is still awaited. */
  get held(): boolean {
    return this.#held;
  }

  /** Reads no further; what comes is passed over. */
  stop(): void {
    this.#stopped = true;
    this.#waiting.length = 0;
  }

  push(chunk: Buffer): void {
    if (this.#stopped) return;
    if (this.#held) this.#waiting.push(chunk);
    else this.#read(chunk);
  }

  #read(chunk: Buffer): void {
    let at = 0;
    while (!this.#stopped) {
      if (this.#state === 'pdv-value') {
        const take = Math.min(this.#pdvLeft, chunk.length - at);
        if (take === 0 && this.#pdvLeft > 0) return;
        this.#pdvLeft -= take;
        this.#pduLeft -= take;
        const whole = this.#pdvLeft === 0;
        if (whole) this.#state = this.#pduLeft > 0 ? 'pdv-header' : 'pdu-header';
        this.#endOwed = whole && this.#pduLeft > 0 && (this.#control & pdvIsLast) !== 0;
        const end = whole && !this.#endOwed;
        const bytes = chunk.subarray(at, at + take);
        at += take;
        const hold = this.#handler.fragment(this.#contextId, this.#control, bytes, end);
        if (hold !== undefined) {
          this.#hold(hold, chunk.subarray(at));
          return;
        }
      } else if (at === chunk.length) {
        return;
      } else if (this.#state === 'short-pdu') {
        const take = Math.min(this.#shortPdu.length - this.#shortPduFill, chunk.length - at);
        chunk.copy(this.#shortPdu, this.#shortPduFill, at, at + take);
        this.#shortPduFill += take;
        at += take;
        if (this.#shortPduFill === this.#shortPdu.length) {
          this.#state = 'pdu-header';
          const hold = this.#handler.pdu(this.#shortPdu[0]!, this.#shortPdu);
          if (hold !== undefined) {
            this.#hold(hold, chunk.subarray(at));
            return;
          }
        }
      } else {
        const take = Math.min(pduHeaderLength - this.#headerFill, chunk.length - at);
        chunk.copy(this.#header, this.#headerFill, at, at + take);
        this.#headerFill += take;
        at += take;
        // A wrong type is told from its first byte: garbage may be shorter than a header and wait for our answer.
        if (this.#state === 'pdu-header' && !isPduType(this.#header[0]!)) {
          this.#fault(
            abortReason.unrecognizedPdu,
            `PDU type ${hexByte(this.#header[0]!)} is not of PS3.8 9.3.1${hint(this.#header[0]!)}`,
          );
          return;
        }
        if (this.#headerFill < pduHeaderLength) return;
        this.#headerFill = 0;
        if (this.#state === 'pdu-header') {
          this.#beginPdu();
          continue;
        }
        const hold = this.#beginPdv();
        if (hold !== undefined) {
          this.#hold(hold, chunk.subarray(at));
          return;
        }
      }
    }
  }

  #beginPdu(): void {
    const type = this.#header[0]!;
    const length = this.#header.readUInt32BE(2);
    if (type === pduType.data) {
      if (length > this.#limits.maxPduLength) {
        this.#fault(
          abortReason.invalidParameter,
          `A P-DATA-TF PDU of ${length} bytes is longer than the ${this.#limits.maxPduLength} we announced (PS3.8 D.1)`,
        );
      } else if (length < pdvHeaderLength) {
        this.#fault(
          abortReason.invalidParameter,
          `A P-DATA-TF PDU of ${length} bytes holds no PDV (PS3.8 9.3.5)`,
        );
      } else {
        this.#pduLeft = length;
        this.#state = 'pdv-header';
      }
      return;
    }
    const isAssociate = type === pduType.associateRequest || type === pduType.associateAccept;
    const limit = isAssociate ? this.#limits.maxAssociatePduLength : maxShortPduLength;
    if (length < 4 || length > limit) {
      this.#fault(
        abortReason.invalidParameter,
        `A PDU of type ${hexByte(type)} with ${length} bytes is outside 4 to ${limit}`,
      );
      return;
    }
    this.#shortPdu = Buffer.alloc(pduHeaderLength + length);
    this.#header.copy(this.#shortPdu);
    this.#shortPduFill = pduHeaderLength;
    this.#state = 'short-pdu';
  }

  #beginPdv(): Hold {
    const length = this.#header.readUInt32BE(0);
    const [contextId, control] = [this.#contextId, this.#control];
    this.#pduLeft -= pdvHeaderLength;
    // The PDV length counts context ID and control header too (PS3.8 9.3.5.1).
    if (length < 2 || length - 2 > this.#pduLeft) {
      this.#fault(
        abortReason.invalidParameter,
        `A PDV of ${length} bytes does not fit its P-DATA-TF PDU (PS3.8 9.3.5.1)`,
      );
      return;
    }
    this.#pdvLeft = length - 2;
    const rest = this.#pduLeft - this.#pdvLeft;
    if (rest > 0 && rest < pdvHeaderLength) {
      this.#fault(
        abortReason.invalidParameter,
        `${rest} bytes are left over behind the last PDV of a P-DATA-TF PDU`,
      );
      return;
    }
    this.#contextId = this.#header[4]!;
    this.#control = this.#header[5]!;
    this.#state = 'pdv-value';
    if (!this.#endOwed) return undefined;
    this.#endOwed = false;
    return this.#handler.fragment(contextId, control, Buffer.alloc(0), true);
  }

  #hold(until: Promise<void>, rest: Buffer): void {
    if (this.#stopped) return;
    this.#held = true;
    // Without bytes too: a PDV without a value may be next.
    this.#waiting.unshift(rest);
    this.#handler.pause();
    void until.then(
      () => this.#release(),
      (error: unknown) => {
        const words = error instanceof Error ? error.message : String(error);
        this.#fault(abortReason.notSpecified, `Internal error while the association was held: ${words}`);
      },
    );
  }

  #release(): void {
    this.#held = false;
    while (!this.#held && !this.#stopped) {
      const chunk = this.#waiting.shift();
      if (chunk === undefined) {
        this.#handler.resume();
        return;
      }
      this.#read(chunk);
    }
  }

  #fault(reason: number, sentence: string): void {
    this.stop();
    this.#handler.fault(reason, sentence);
  }
}

function isPduType(type: number): boolean {
  return type >= pduType.associateRequest && type <= pduType.abort;
}

/** What people send to a DICOM port by mistake, told from its first byte. */
function hint(type: number): string {
  if (type === 0x16) return ' (it begins like TLS, which has a port of its own)';
  // GET, POST, HEAD, PUT, OPTIONS, DELETE, CONNECT
  return 'GPHODC'.includes(String.fromCharCode(type))
    ? ' (it begins like HTTP, which has a port of its own)'
    : '';
}

function hexByte(value: number): string {
  return `0x${value.toString(16).toUpperCase().padStart(2, '0')}`;
}
