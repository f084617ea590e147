/**
 * How far a sending verb is: one bar redrawn in place on a terminal, a plain line every few seconds elsewhere.
 * Used by send.ts and modality.ts; the lines in between go through say(), so that they do not tear the bar.
 */
import type { Writable } from 'node:stream';

export interface Screen extends Writable {
  isTTY?: boolean;
  columns?: number;
}

export interface Progress {
  add(objects: number, bytes: number): void;
  /** A line of its own above the bar. */
  say(line: string): void;
  /** Clears the bar and writes the sum: "200 objects, 105.1 MB in 3.2 s (32.8 MB/s)". */
  end(): void;
}

const redrawMs = 100;
const lineMs = 5_000;

export function createProgress(
  total: { objects: number; bytes?: number },
  screen: Screen = process.stdout,
): Progress {
  const began = performance.now();
  const terminal = screen.isTTY === true;
  let objects = 0;
  let bytes = 0;
  let shownAt = terminal ? -redrawMs : began;

  const clear = () => {
    if (terminal) screen.write('\r\x1b[2K');
  };
  const text = (): string => {
    const seconds = (performance.now() - began) / 1000;
    return `${objects}/${total.objects} objects  ${megabytes(bytes)}  ${megabytes(bytes / Math.max(seconds, 0.001))}/s`;
  };
  const draw = () => {
    shownAt = performance.now();
    if (!terminal) {
      screen.write(`${text()}\n`);
      return;
    }
    const words = text();
    const room = Math.min(40, (screen.columns ?? 80) - words.length - 4);
    clear();
    screen.write(room < 5 ? words : `${bar(share(), room)} ${words}`);
  };
  const share = (): number => {
    const done = total.bytes ? bytes / total.bytes : objects / Math.max(total.objects, 1);
    return Math.min(done, 1);
  };

  return {
    add(moreObjects, moreBytes) {
      objects += moreObjects;
      bytes += moreBytes;
      if (performance.now() - shownAt >= (terminal ? redrawMs : lineMs)) draw();
    },
    say(line) {
      clear();
      screen.write(`${line}\n`);
      if (terminal) draw();
    },
    end() {
      clear();
      const seconds = (performance.now() - began) / 1000;
      const rate = megabytes(bytes / Math.max(seconds, 0.001));
      screen.write(`${objects} objects, ${megabytes(bytes)} in ${seconds.toFixed(1)} s (${rate}/s)\n`);
    },
  };
}

function bar(share: number, width: number): string {
  const filled = Math.round(share * width);
  return `[${'#'.repeat(filled)}${'-'.repeat(width - filled)}]`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}
