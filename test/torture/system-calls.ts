/**
 * What a program did to files and sockets, read from the output of strace: writes, syncs, names made and removed, and
 * what was sent. The order is that of the trace: a call that had ended before another began is seen to have done so,
 * because strace stops the thread at both ends of every call. Used by sync-before-success.test.ts.
 */

/** Words before a program that trace it into `file`. */
export function traced(strace: string, file: string): string[] {
  const calls = [
    ...['open', 'openat', 'write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'sendto', 'sendmsg'],
    ...['fsync', 'fdatasync', 'rename', 'renameat', 'renameat2', 'link', 'linkat', 'unlink', 'unlinkat'],
    ...['mkdir', 'mkdirat', 'ftruncate'],
  ];
  // All strings in hexadecimal: one form to decode. 2,100 bytes of each: a record's header is 2,048.
  const form = ['-f', '--seccomp-bpf', '-yy', '-xx', '-s', '2100'];
  return [strace, ...form, '-e', `trace=${calls.join(',')}`, '-o', file];
}

interface When {
  /** Lines of the trace: where the call began and where it had returned. */
  begin: number;
  end: number;
}
export type FileWrite = When & {
  path: string;
  /** Offsets in the file; all of it where the call does not say. */
  from: number;
  to: number;
  /** The first of what was written, at least. */
  bytes: Buffer;
};
export type Named = When & { path: string };
export type Sent = When & { bytes: Buffer };

export interface Deeds {
  writes: FileWrite[];
  /** fsync and fdatasync that succeeded, of files and of folders */
  syncs: Named[];
  /** Names that came into being: created, linked, renamed to. */
  made: Named[];
  folders: Named[];
  removed: Named[];
  sent: Sent[];
}

interface Call extends When {
  name: string;
  args: string;
  result: number;
}

/** @param concerns which paths are looked at */
export function readTrace(text: string, concerns: (path: string) => boolean): Deeds {
  const deeds: Deeds = { writes: [], syncs: [], made: [], folders: [], removed: [], sent: [] };
  for (const call of callsOf(text)) {
    if (call.result < 0) continue;
    const { name, args, begin, end } = call;
    const fd = /^\d+<((?:[^>]|->)*)>/.exec(args)?.[1] ?? '';
    const names = [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, hex]) => decode(hex!));
    if (/^(write|writev|sendto|sendmsg)$/.test(name) && fd.startsWith('TCP')) {
      deeds.sent.push({ bytes: Buffer.concat(names), begin, end });
      continue;
    }
    const path = fd.startsWith('\\x') ? decode(fd).toString() : fd;
    const last = names.at(-1)?.toString() ?? '';
    if (/^p?write/.test(name)) {
      if (!concerns(path)) continue;
      const offset = /^pwrite/.test(name) ? offsetOf(name, args) : undefined;
      if (Number.isNaN(offset)) throw new Error(`no offset in: ${name}(${args.slice(-80)}`);
      const [from, to] =
        offset === undefined ? [0, Number.POSITIVE_INFINITY] : [offset, offset + call.result];
      deeds.writes.push({ path, from, to, bytes: Buffer.concat(names), begin, end });
    } else if (/sync$/.test(name)) {
      if (concerns(path)) deeds.syncs.push({ path, begin, end });
    } else if (!concerns(last)) continue;
    else if (/^mkdir/.test(name)) deeds.folders.push({ path: last, begin, end });
    else if (/^unlink/.test(name)) deeds.removed.push({ path: last, begin, end });
    else if (/^(rename|link)/.test(name) || /O_CREAT/.test(args)) deeds.made.push({ path: last, begin, end });
  }
  return deeds;
}

/** The last argument; pwritev2 has flags behind it. */
function offsetOf(name: string, args: string): number {
  return Number(args.split(', ').at(name === 'pwritev2' ? -2 : -1));
}

function* callsOf(text: string): Generator<Call> {
  const unfinished = new Map<string, { name: string; args: string; begin: number }>();
  let index = 0;
  for (const line of text.split('\n')) {
    index++;
    const resumed = /^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)/.exec(line);
    const first = resumed && unfinished.get(resumed[1]!);
    if (resumed && first) {
      unfinished.delete(resumed[1]!);
      yield { ...first, args: first.args + resumed[3], end: index, result: Number(resumed[4]) };
      continue;
    }
    const begun = /^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$/.exec(line);
    if (begun) {
      unfinished.set(begun[1]!, { name: begun[2]!, args: begun[3]!, begin: index });
      continue;
    }
    const whole = /^\d+ +(\w+)\((.*)\) += (-?\d+)/.exec(line);
    if (whole) yield { name: whole[1]!, args: whole[2]!, begin: index, end: index, result: Number(whole[3]) };
  }
}

function decode(hex: string): Buffer {
  return Buffer.from(hex.replaceAll('\\x', ''), 'hex');
}
