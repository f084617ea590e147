/**
 * The places for associations, in memory that all receiver threads share: so many in all, so many for each AE title.
 * Claimed by inbound.ts once admission.ts has said yes, given back when the association ends; counted by scp.ts.
 * A place is an owner (thread number plus one; 0 is free) and the calling AE title, 16 bytes.
 */

const TITLE_WORDS = 4;
const PLACE_WORDS = 1 + TITLE_WORDS;
const LOCK = 0;
const FIRST = 1;

export interface AssociationSlots {
  /**
   * @param limit of this AE title
   * @returns the place, or which limit stands against it
   */
  claim(aeTitle: string, limit: number): number | 'total' | 'per-ae';
  release(place: number): void;
}

export function createSlotMemory(maxAssociations: number): SharedArrayBuffer {
  return new SharedArrayBuffer(4 * (FIRST + maxAssociations * PLACE_WORDS));
}

export function createAssociationSlots(memory: SharedArrayBuffer, thread: number): AssociationSlots {
  const words = new Int32Array(memory);
  const me = thread + 1;
  return {
    claim(aeTitle, limit) {
      const title = titleWords(aeTitle);
      return locked(words, me, () => {
        let free: number | undefined;
        let mine = 0;
        for (let at = FIRST; at < words.length; at += PLACE_WORDS) {
          if (Atomics.load(words, at) === 0) free ??= at;
          else if (title.every((word, n) => words[at + 1 + n] === word)) mine++;
        }
        if (mine >= limit) return 'per-ae';
        if (free === undefined) return 'total';
        words.set(title, free + 1);
        Atomics.store(words, free, me);
        return free;
      });
    },
    release: (place) => void Atomics.store(words, place, 0),
  };
}

/** Associations open now, of all threads; of one AE title where it is named. */
export function countOpen(memory: SharedArrayBuffer, aeTitle?: string): number {
  const words = new Int32Array(memory);
  const title = aeTitle === undefined ? undefined : titleWords(aeTitle);
  let open = 0;
  for (let at = FIRST; at < words.length; at += PLACE_WORDS)
    if (Atomics.load(words, at) !== 0 && (title?.every((word, n) => words[at + 1 + n] === word) ?? true))
      open++;
  return open;
}

/** What a thread held when it ended: its places, and the lock where it died under it. */
export function freeSlotsOf(memory: SharedArrayBuffer, thread: number): void {
  const words = new Int32Array(memory);
  for (let at = FIRST; at < words.length; at += PLACE_WORDS)
    Atomics.compareExchange(words, at, thread + 1, 0);
  Atomics.compareExchange(words, LOCK, thread + 1, 0);
  Atomics.notify(words, LOCK);
}

/** Two threads that look for the last place at the same time find it one after the other. */
function locked<T>(words: Int32Array, me: number, work: () => T): T {
  for (;;) {
    const holder = Atomics.compareExchange(words, LOCK, 0, me);
    if (holder === 0) break;
    Atomics.wait(words, LOCK, holder, 1);
  }
  try {
    return work();
  } finally {
    Atomics.store(words, LOCK, 0);
    Atomics.notify(words, LOCK, 1);
  }
}

function titleWords(aeTitle: string): Int32Array {
  const bytes = new Uint8Array(4 * TITLE_WORDS);
  bytes.set(Buffer.from(aeTitle, 'latin1').subarray(0, bytes.length));
  return new Int32Array(bytes.buffer);
}
