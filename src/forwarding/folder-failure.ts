/** What the file system of a folder destination answered, in words an administrator can act on. Said by folder-scu.ts. */
import { Failure } from '../failure.ts';

const WORDS: Readonly<Record<string, string>> = {
  ENOSPC: 'its disk is full',
  EDQUOT: 'its quota is used up',
  EROFS: 'it is mounted read-only',
  EACCES: 'this user may not write there; check owner and mode',
  EPERM: 'this user may not write there; check owner and mode',
  ENOENT: 'FOLDER_ROOT, or something below it, is not there: is the share mounted?',
  ENOTDIR: 'a file stands where a folder is expected',
  EIO: 'its disk or share does not answer as it should',
  ESTALE: 'the share was taken away and must be mounted again',
  EHOSTDOWN: 'the server of the share is down',
};

/** All of them may pass, and all of them are the folder's: 'peer-unreachable'. What no system call threw stays as it is. */
export function folderFailure(folder: string, thrown: unknown): unknown {
  if (thrown instanceof Failure || !(thrown instanceof Error) || !('syscall' in thrown)) return thrown;
  const { code = '' } = thrown as NodeJS.ErrnoException;
  return new Failure(
    'peer-unreachable',
    `The folder ${folder} cannot be used: ${WORDS[code] ?? 'the file system refused it'} (${code})`,
    { cause: thrown },
  );
}
