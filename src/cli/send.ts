/**
 * `isocenter send PATH... --to AET@HOST:PORT`: sends DICOM files byte for byte over one or more associations.
 * Files are found by dicom-files.ts, a batch at a time, so that a folder of any size costs the same memory;
 * what a peer refuses, and what is no DICOM file, is named with its reason.
 */
import { sopClassName } from '../dicom/sop-class.ts';
import { type OutboundAssociation, openAssociation } from '../dimse/outbound-association.ts';
import { type ContextProposal, planContexts } from '../dimse/plan-contexts.ts';
import { statusClass, statusWord } from '../dimse/status.ts';
import { asFailure, Failure } from '../failure.ts';
import { type DicomFile, dataSet, readDicomFile, walk } from './dicom-files.ts';
import { createProgress, type Progress, type Screen } from './progress.ts';
import { parseTarget, type Target } from './target.ts';

export interface SendOptions {
  /** Default ISOCENTER. */
  callingAeTitle?: string | undefined;
  /** Associations at a time, 1 to 32. Default 1. */
  associations?: number | undefined;
  screen?: Screen;
}

const batchSize = 2_000;
const maxAssociations = 32;
/** Files named one by one; more are counted. */
const maxNamed = 100;
/** Associations lost or refused one after the other, without an object sent between: the peer is down. */
const maxLost = 3;

/** @returns the exit code: 0 when there was something to send and all of it arrived. */
export async function send(
  paths: readonly string[],
  target: string,
  options: SendOptions = {},
): Promise<number> {
  if (paths.length === 0) throw new Failure('invalid', 'send needs a file or a folder');
  const associations = options.associations ?? 1;
  if (!Number.isInteger(associations) || associations < 1 || associations > maxAssociations) {
    throw new Failure('invalid', `--associations takes 1 to ${maxAssociations}`);
  }
  const node = parseTarget(target);
  const total = { objects: 0 };
  for await (const _ of walk(paths)) total.objects++;
  if (total.objects === 0) throw new Failure('invalid', `there is no file in ${paths.join(', ')}`);
  const progress = createProgress(total, options.screen);
  const sending = new Sending(node, options.callingAeTitle ?? 'ISOCENTER', progress, total);
  let batch: DicomFile[] = [];
  for await (const path of walk(paths)) {
    const file = await sending.read(path);
    if (file) batch.push(file);
    if (batch.length === batchSize) {
      await sending.sendAll(batch, associations);
      batch = [];
    }
  }
  await sending.sendAll(batch, associations);
  progress.end();
  return sending.sum();
}

class Sending {
  readonly #target: Target;
  readonly #callingAeTitle: string;
  readonly #progress: Progress;
  readonly #total: { objects: number };
  #sent = 0;
  #failed = 0;
  #notDicom = 0;
  #named = 0;
  #lostInARow = 0;

  constructor(target: Target, callingAeTitle: string, progress: Progress, total: { objects: number }) {
    this.#target = target;
    this.#total = total;
    this.#callingAeTitle = callingAeTitle;
    this.#progress = progress;
  }

  async read(path: string): Promise<DicomFile | undefined> {
    try {
      return await readDicomFile(path);
    } catch (thrown) {
      this.#notDicom++;
      this.#total.objects--;
      this.#name(`not sent: ${path}: ${asFailure(thrown).message}`);
      return undefined;
    }
  }

  async sendAll(files: readonly DicomFile[], associations: number): Promise<void> {
    for (const contexts of planContexts(files)) {
      const ours = new Set(
        contexts.map(({ abstractSyntax, transferSyntaxes }) => `${abstractSyntax} ${transferSyntaxes[0]}`),
      );
      const queue = files.filter((file) => ours.has(`${file.sopClassUid} ${file.transferSyntaxUid}`));
      const lanes = Math.min(associations, queue.length);
      await Promise.all(Array.from({ length: lanes }, () => this.#lane(queue, contexts)));
    }
  }

  /** One association's way through the queue; a lost one is opened again for the next file. */
  async #lane(queue: DicomFile[], contexts: ContextProposal[]): Promise<void> {
    let association: OutboundAssociation | undefined;
    for (let file = queue.shift(); file; file = queue.shift()) {
      try {
        if (!association?.open) association = await this.#open(contexts);
        await this.#one(association, file);
      } catch (thrown) {
        this.#fail(file, asFailure(thrown).message);
        if (association?.open !== true && ++this.#lostInARow >= maxLost) {
          for (const rest of queue.splice(0))
            this.#fail(rest, `not tried: ${this.#target.text} is not to be had`);
        }
      }
    }
    await association?.release();
  }

  async #open(contexts: ContextProposal[]): Promise<OutboundAssociation> {
    const { host, port, aeTitle } = this.#target;
    return openAssociation({
      host,
      port,
      callingAeTitle: this.#callingAeTitle,
      calledAeTitle: aeTitle,
      contexts,
    });
  }

  async #one(association: OutboundAssociation, file: DicomFile): Promise<void> {
    if (association.accepted(file.sopClassUid, file.transferSyntaxUid) === undefined) {
      const why = association.refusal(file.sopClassUid, file.transferSyntaxUid);
      this.#fail(file, `the peer does not take ${why}`);
      return;
    }
    const { status, errorComment } = await association.store(file, dataSet(file));
    this.#lostInARow = 0;
    const said = `${statusWord(status)}${errorComment ? `: ${errorComment}` : ''}`;
    const statusIs = statusClass(status);
    if (statusIs !== 'success' && statusIs !== 'warning') {
      this.#fail(file, said);
      return;
    }
    if (statusIs === 'warning') this.#name(`sent with a warning: ${file.path}: ${said}`);
    this.#sent++;
    this.#progress.add(1, file.length);
  }

  #fail(file: DicomFile, why: string): void {
    this.#failed++;
    this.#name(`failed: ${file.path} (${sopClassName(file.sopClassUid)}): ${why}`);
    this.#progress.add(1, 0);
  }

  #name(line: string): void {
    this.#named++;
    if (this.#named <= maxNamed) this.#progress.say(line);
    if (this.#named === maxNamed) this.#progress.say('(further files are counted, not named)');
  }

  sum(): number {
    const parts = [`${this.#sent} sent to ${this.#target.text}`];
    if (this.#failed > 0) parts.push(`${this.#failed} failed`);
    if (this.#notDicom > 0) parts.push(`${this.#notDicom} not DICOM`);
    this.#progress.say(parts.join(', '));
    return this.#failed === 0 && this.#sent > 0 ? 0 : 1;
  }
}
