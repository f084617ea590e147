/**
 * What `bench receive` asks of each receiver it measures. A receiver is started anew, over an empty folder, for every
 * run. The starters stand beside this file; receive.ts has the list.
 */
export interface Receiver {
  readonly pid: number;
  readonly port: number;
  readonly aeTitle: string;
  /** Where it answers HTTP, without a slash at the end; `bench dicomweb` asks there. */
  readonly url?: string;
  /** Asked when the senders have ended: how many objects of the study (or, where it has no index, in all) it has now. */
  stored(studyUid: string): Promise<number>;
  /** Back to rest: what it does behind the answer is done. Bounded. */
  settled(): Promise<void>;
  /** Longest turn of its main loop since the last call, in ms, where it can say so. */
  longestPauseMs?(): Promise<number>;
  /** What it says of itself that makes the run void: refusals, conflicts. */
  complaints?(): Promise<string[]>;
  stop(): Promise<void>;
}

export interface ReceiverKind {
  readonly name: string;
  readonly title: string;
  /** The command line as it is printed. */
  readonly command: string;
  /** Why it cannot be measured here. */
  readonly missing?: string;
  /** False: `stored` counts everything since the start, the warm-up with it. */
  readonly countsByStudy: boolean;
  /** @param folder empty, on the disk of the bench */
  start(folder: string): Promise<Receiver>;
}

/** DCMTK and Orthanc (which is built on it) set TCP_NODELAY when told so by the environment; ours do it by themselves. */
export const NO_DELAY = { TCP_NODELAY: '1' } as const;
