/**
 * Delivers into a folder: each Part 10 file as StudyUID/SeriesUID/SOPUID.dcm, written beside, synced, given its name,
 * the folder synced, and only then delivered. The same again changes nothing; other bytes under a name are a refusal.
 * Called by send-delivery.ts; outcomes go to the ledger through the attempt's outcome log.
 */
import { constants } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, readdir, realpath, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { recordDisclosure } from '../archive/disclosure.ts';
import { syncFolder } from '../archive/sync-folder.ts';
import { asFailure, Failure } from '../failure.ts';
import type { AttemptEnd } from '../routing/attempt-end.ts';
import { type FolderSettings, folderPath } from '../routing/folder-destination.ts';
import type { Outcome } from '../routing/ledger.ts';
import { type Attempt, triedAll } from './attempt.ts';
import { folderFailure } from './folder-failure.ts';
import type { SendableObject } from './object-bytes.ts';
import { owedObjects } from './owed-objects.ts';
import { openFile, type SentFile } from './sent-file.ts';
import { sentUnder, unreadable } from './storage-scu.ts';

const CHUNK_BYTES = 256 * 1024;
/** What a UID may be made of to name a file; a stored one need not be valid (PS3.5 9.1). */
const NAME = /^[0-9A-Za-z][0-9A-Za-z.]{0,63}$/;

export async function sendToFolder(
  attempt: Attempt,
  settings: FolderSettings,
  root: string | undefined,
): Promise<AttemptEnd> {
  const { outcomes, pace, closing, lost } = attempt;
  // At an instance the fault may be that of one study's folder: then others are asked for first.
  let amid = false;
  try {
    const folder = await openFolder(root, settings);
    amid = true;
    const delivery = new FolderDelivery(attempt, folder);
    for await (const page of owedObjects(attempt)) {
      await disclose(attempt, settings, page.filter(({ object }) => object).length);
      for (const { id, object, why } of page) {
        await outcomes.room();
        await pace.wait(await pace.instances(1));
        if (closing.aborted || lost.aborted) return { kind: 'release' };
        const verdict = object ? await delivery.place(object) : ({ state: 'failed', comment: why } as const);
        outcomes.add({ id, ...verdict });
        if (verdict.state !== 'owed') await attempt.answered();
      }
    }
    return triedAll(outcomes, false);
  } catch (thrown) {
    if (lost.aborted) return { kind: 'release' };
    const failure = asFailure(folderFailure(settings.path, thrown));
    if (failure.kind === 'peer-unreachable')
      return { kind: 'retry', down: true, amid, reason: failure.message };
    throw failure;
  }
}

/**
 * The folder, made when it is not there. FOLDER_ROOT itself is not: a share that is not mounted must not be taken for
 * an empty folder.
 * @throws Failure 'peer-unreachable' when it cannot be used, 'invalid' without FOLDER_ROOT
 */
export async function openFolder(root: string | undefined, settings: FolderSettings): Promise<string> {
  folderPath(root, settings);
  try {
    const realRoot = await realpath(root!);
    return await makeFolders(realRoot, settings.path.split('/'), async (link) => {
      const real = await realpath(link);
      if (real === realRoot || real.startsWith(realRoot + path.sep)) return real;
      throw new Failure('peer-unreachable', `The folder ${settings.path} leads out of FOLDER_ROOT by a link`);
    });
  } catch (thrown) {
    throw folderFailure(settings.path, thrown);
  }
}

class FolderDelivery {
  readonly #attempt: Attempt;
  readonly #folder: string;
  /** Ends the names of files that are not whole yet; an earlier attempt's are taken away. */
  readonly #mark: string;
  readonly #swept = new Set<string>();

  constructor(attempt: Attempt, folder: string) {
    this.#attempt = attempt;
    this.#folder = folder;
    const { delivery, token } = attempt.claimed.lease;
    this.#mark = `.${delivery}.${token}.part`;
  }

  /** @throws what the file system throws: that is the folder's fault, not the object's */
  async place(object: SendableObject): Promise<Omit<Outcome, 'id'>> {
    const { reader, transform, recoding, lost: signal } = this.#attempt;
    let sent: SentFile;
    try {
      sent = await openFile(reader, object, { transform, recoding, signal });
    } catch (thrown) {
      return unreadable(asFailure(thrown));
    }
    try {
      return await this.#placeFile(object, sent);
    } finally {
      await sent.close();
    }
  }

  async #placeFile(object: SendableObject, sent: SentFile): Promise<Omit<Outcome, 'id'>> {
    const { studyUid, seriesUid, sopUid } = sent;
    const delivered = { state: 'delivered', ...sentUnder(object, sent) } as const;
    if (![studyUid, seriesUid, sopUid].every((uid) => NAME.test(uid)))
      return { state: 'failed', comment: 'one of its UIDs cannot name a file' };
    const folder = await makeFolders(this.#folder, [studyUid, seriesUid], async (link) => {
      const where = path.relative(this.#folder, link);
      throw new Failure('peer-unreachable', `${where} in the folder is a link, and is not followed`);
    });
    await this.#sweep(folder);
    const file = path.join(folder, `${sopUid}.dcm`);
    let there = await this.#compare(file, sent);
    if (there === 'nothing') {
      const beside = path.join(folder, `.${sopUid}${this.#mark}`);
      const unread = await this.#write(sent, beside);
      if (unread) return unread;
      if (await placeFile(beside, file)) {
        await syncNames(folder);
        return delivered;
      }
      // Another delivery was quicker.
      there = await this.#compare(file, sent);
      if (there === 'nothing')
        return { state: 'owed', comment: `${sopUid}.dcm came and went; it is tried again` };
    }
    return there === 'same' ? delivered : there;
  }

  /** @returns why the object could not be read, if so */
  async #write(sent: SentFile, beside: string): Promise<Omit<Outcome, 'id'> | undefined> {
    const { pace, lost } = this.#attempt;
    await rm(beside, { force: true });
    // Made by us and nobody else: what lies there could be a link to somewhere else.
    const handle = await open(beside, 'wx', 0o640);
    let whole = false;
    try {
      for await (const chunk of pace.bytes(readable(sent.open()))) {
        await writeWhole(handle, chunk);
        if (lost.aborted) throw new Failure('conflict', 'the lease on the delivery is lost');
      }
      await handle.sync();
      whole = true;
    } catch (thrown) {
      if (thrown instanceof Unreadable) return unreadable(thrown.failure);
      throw thrown;
    } finally {
      await handle.close();
      if (!whole) await rm(beside, { force: true });
    }
    return undefined;
  }

  async #compare(file: string, sent: SentFile): Promise<'nothing' | 'same' | Omit<Outcome, 'id'>> {
    const found = await lstat(file).catch((thrown: NodeJS.ErrnoException) => {
      if (thrown.code === 'ENOENT') return undefined;
      throw thrown;
    });
    if (!found) return 'nothing';
    const other = {
      state: 'failed',
      comment: `other bytes lie under ${path.relative(this.#folder, file)} already; they are left as they are`,
    } as const;
    if (!found.isFile() || found.size !== sent.length) return other;
    const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const there = Buffer.alloc(CHUNK_BYTES);
      let at = 0;
      for await (const chunk of readable(sent.open())) {
        for (let done = 0; done < chunk.length; ) {
          const { bytesRead } = await handle.read(there, 0, Math.min(CHUNK_BYTES, chunk.length - done), at);
          const piece = chunk.subarray(done, done + bytesRead);
          if (bytesRead === 0 || !there.subarray(0, bytesRead).equals(piece)) return other;
          done += bytesRead;
          at += bytesRead;
        }
      }
      // It may have been renamed by an attempt that ended before it was synced.
      await handle.sync();
    } catch (thrown) {
      if (thrown instanceof Unreadable) return unreadable(thrown.failure);
      throw thrown;
    } finally {
      await handle.close();
    }
    await syncNames(path.dirname(file));
    return 'same';
  }

  /** What earlier attempts at this delivery left half written. */
  async #sweep(folder: string): Promise<void> {
    if (this.#swept.has(folder)) return;
    this.#swept.add(folder);
    const { delivery, token } = this.#attempt.claimed.lease;
    if (token <= 1) return;
    const left = new RegExp(`^\\..*\\.${delivery}\\.\\d+\\.part$`);
    for (const name of await readdir(folder))
      if (left.test(name)) await rm(path.join(folder, name), { force: true });
  }
}

/** The archive's side failed, not the folder's. */
class Unreadable extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

async function* readable(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* source;
  } catch (thrown) {
    throw new Unreadable(asFailure(thrown));
  }
}

async function writeWhole(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.length; )
    done += (await handle.write(chunk, done, chunk.length - done)).bytesWritten;
}

/** File systems that know no second name for a file. */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL', 'EMLINK']);

/**
 * Gives a whole file its name, where nothing has it: two deliveries may be at one name at once, and a rename would put
 * the one over the other. @returns false when something has it; then the file is gone
 */
export async function placeFile(beside: string, file: string): Promise<boolean> {
  try {
    await link(beside, file);
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code ?? '';
    if (NO_LINKS.has(code)) {
      await rename(beside, file);
      return true;
    }
    await rm(beside, { force: true });
    if (code === 'EEXIST') return false;
    throw thrown;
  }
  await rm(beside, { force: true });
  return true;
}

/**
 * One below the other; each new one is in its parent for good before anything lies in it.
 * @param follow where a link leads, or why it is not followed
 * @returns the last
 */
async function makeFolders(
  base: string,
  names: readonly string[],
  follow: (link: string) => Promise<string>,
): Promise<string> {
  let folder = base;
  for (const name of names) {
    const parent = folder;
    folder = path.join(parent, name);
    try {
      await mkdir(folder, { mode: 0o750 });
      await syncNames(parent);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
      if ((await lstat(folder)).isSymbolicLink()) folder = await follow(folder);
    }
  }
  return folder;
}

/** Network file systems that know no such thing answer so, and keep their own order. */
const NO_FOLDER_SYNC = new Set(['EINVAL', 'ENOTSUP', 'EBADF', 'EISDIR']);

async function syncNames(folder: string): Promise<void> {
  try {
    await syncFolder(folder);
  } catch (thrown) {
    if (!NO_FOLDER_SYNC.has((thrown as NodeJS.ErrnoException).code ?? '')) throw thrown;
  }
}

async function disclose(attempt: Attempt, settings: FolderSettings, instances: number): Promise<void> {
  if (instances === 0) return;
  const { claimed, database } = attempt;
  await recordDisclosure(database, {
    channel: 'folder',
    recipient: settings.path,
    studyUid: claimed.studyUid,
    instances,
    detail: { destination: claimed.destination.name, delivery: claimed.lease.delivery },
  });
}
