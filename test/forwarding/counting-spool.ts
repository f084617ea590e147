/** A scratch space that counts its files: compressing an object opens one, whether anything is written to it or not. */
import type { Spool } from '../../src/archive/intake/spool.ts';

export interface CountingSpool extends Spool {
  readonly opened: number;
  readonly closed: number;
}

export function countingSpool(spool: Spool): CountingSpool {
  let opened = 0;
  let closed = 0;
  return {
    get opened() {
      return opened;
    },
    get closed() {
      return closed;
    },
    open() {
      opened++;
      const file = spool.open();
      let isOpen = true;
      return {
        ...file,
        close() {
          if (isOpen) closed++;
          isOpen = false;
          return file.close();
        },
      };
    },
  };
}
