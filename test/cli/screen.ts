/** A screen that keeps what is written to it, as a terminal or as a pipe. */
import { Writable } from 'node:stream';
import type { Screen } from '../../src/cli/progress.ts';

export interface KeptScreen extends Screen {
  text(): string;
}

export function createScreen(isTTY = false): KeptScreen {
  const parts: string[] = [];
  const screen = new Writable({
    write(chunk, _encoding, done) {
      parts.push(String(chunk));
      done();
    },
  });
  return Object.assign(screen, { isTTY, columns: 100, text: () => parts.join('') });
}
