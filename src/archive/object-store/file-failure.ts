/**
 * What the file system answered, as a Failure: the error code decides the kind, the sentence names path and remedy.
 * Called by the file store; paths hold UIDs and hashes, never a patient's data.
 */
import { Failure } from '../../failure.ts';

export function isCode(thrown: unknown, ...codes: readonly string[]): boolean {
  return thrown instanceof Error && 'code' in thrown && codes.includes(String(thrown.code));
}

/** `doing` completes "Cannot ...", e.g. "write the object 1.2.3/4". A Failure, or what no system call threw, stays as it is. */
export function fileFailure(doing: string, thrown: unknown): unknown {
  if (thrown instanceof Failure || !(thrown instanceof Error) || !('syscall' in thrown)) return thrown;
  const code = 'code' in thrown ? String(thrown.code) : 'unknown error';
  const said = (why: string) => `Cannot ${doing}: ${why} (${code}).`;
  switch (code) {
    case 'ENOENT':
      return new Failure('unavailable', said('something on its path is gone'), { cause: thrown });
    case 'ENOSPC':
    case 'EDQUOT':
      return new Failure('no-space', said('the disk or its quota is full'), { cause: thrown });
    case 'EISDIR':
    case 'ENOTDIR':
    case 'ENOTEMPTY':
      return new Failure(
        'conflict',
        said('a folder stands where a file is expected, or the other way round'),
        {
          cause: thrown,
        },
      );
    case 'EACCES':
    case 'EPERM':
      return new Failure('unavailable', said('this user may not; check the owner and mode of the folder'), {
        cause: thrown,
      });
    case 'EROFS':
      return new Failure('unavailable', said('the file system is mounted read-only'), { cause: thrown });
    default:
      return new Failure('unavailable', said(thrown.message), { cause: thrown });
  }
}
