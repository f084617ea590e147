/**
 * Asks a destination whether it would take anything: C-ECHO over DIMSE, a search for one study over DICOMweb, a file
 * written to a folder and removed.
 * Called by POST /api/destinations/NAME/test; the fault comes back in words, and no patient data leaves or is kept.
 */
import { randomUUID } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import { STORAGE_COMMITMENT, VERIFICATION } from '../dicom/sop-class.ts';
import { EXPLICIT_LE, IMPLICIT_LE } from '../dicom/transfer-syntax.ts';
import { openAssociation } from '../dimse/outbound-association.ts';
import { statusWord } from '../dimse/status.ts';
import { asFailure } from '../failure.ts';
import type { PeerSettings } from '../routing/destination.ts';
import { committerOf, type DimseSettings } from '../routing/dimse-destination.ts';
import type { FolderSettings } from '../routing/folder-destination.ts';
import { refuseSealed } from '../routing/sealed-secrets.ts';
import type { StowSettings } from '../routing/stow-destination.ts';
import { tlsOptions } from '../routing/tls-settings.ts';
import type { SendTimeouts } from './attempt.ts';
import { folderFailure } from './folder-failure.ts';
import { openFolder } from './folder-scu.ts';
import type { TokenSource } from './oauth-token.ts';
import { httpWords } from './stow-answer.ts';
import { createStowClient } from './stow-client.ts';

export interface DestinationTest {
  ok: boolean;
  message: string;
  milliseconds: number;
}

export interface TestOptions {
  callingAeTitle: string;
  timeouts: SendTimeouts;
  tokens: TokenSource;
  folderRoot: string | undefined;
}

export async function testDestination(
  name: string,
  settings: PeerSettings,
  options: TestOptions,
): Promise<DestinationTest> {
  const began = performance.now();
  const ended = (ok: boolean, message: string): DestinationTest => ({
    ok,
    message,
    milliseconds: Math.round(performance.now() - began),
  });
  try {
    refuseSealed(name, settings);
    const { ok, message } = await ask(settings, options);
    return ended(ok, message);
  } catch (thrown) {
    const failure = asFailure(thrown);
    if (failure.kind === 'internal') throw thrown;
    return ended(false, failure.message);
  }
}

type Answer = Omit<DestinationTest, 'milliseconds'>;

async function ask(settings: PeerSettings, options: TestOptions): Promise<Answer> {
  switch (settings.kind) {
    case 'dimse':
      return echo(settings, options);
    case 'stow':
      return search(settings, options);
    case 'folder':
      return tryFolder(settings, options);
  }
}

async function echo(settings: DimseSettings, options: TestOptions): Promise<Answer> {
  const { callingAeTitle, timeouts } = options;
  const association = await openAssociation({
    host: settings.host,
    port: settings.port,
    callingAeTitle: settings.callingAeTitle ?? callingAeTitle,
    calledAeTitle: settings.aeTitle,
    contexts: [{ abstractSyntax: VERIFICATION, transferSyntaxes: [IMPLICIT_LE, EXPLICIT_LE] }],
    timeouts: {
      connectMs: timeouts.connectMs,
      associateMs: timeouts.connectMs,
      responseMs: timeouts.connectMs,
    },
    ...(settings.tls && { tls: tlsOptions(settings.tls) }),
  });
  try {
    const status = await association.echo();
    if (status !== 0) return { ok: false, message: `C-ECHO was answered with ${statusWord(status)}` };
  } finally {
    await association.release();
  }
  const answered = `C-ECHO was answered with Success${settings.tls ? ', over TLS' : ''}`;
  if (!settings.commitment?.enabled) return { ok: true, message: answered };
  const fault = await commitmentFault(settings, options);
  return { ok: fault === undefined, message: `${answered}; ${fault ?? 'storage commitment is offered'}` };
}

/** Whether it would take a request; that it can report to us is seen with the first delivery. */
async function commitmentFault(
  settings: DimseSettings,
  { callingAeTitle, timeouts: { connectMs } }: TestOptions,
): Promise<string | undefined> {
  const { host, port, aeTitle, tls } = committerOf(settings);
  const association = await openAssociation({
    host,
    port,
    callingAeTitle: settings.callingAeTitle ?? callingAeTitle,
    calledAeTitle: aeTitle,
    contexts: [{ abstractSyntax: STORAGE_COMMITMENT, transferSyntaxes: [EXPLICIT_LE, IMPLICIT_LE] }],
    timeouts: { connectMs, associateMs: connectMs, responseMs: connectMs },
    ...(tls && { tls: tlsOptions(tls) }),
  });
  const taken = [EXPLICIT_LE, IMPLICIT_LE].some((uid) => association.accepted(STORAGE_COMMITMENT, uid));
  const why = association.refusal(STORAGE_COMMITMENT, EXPLICIT_LE);
  await association.release();
  return taken ? undefined : `${aeTitle} does not take ${why}`;
}

const HTTP_REMEDIES: Readonly<Record<number, string>> = {
  401: 'it wants other credentials: see oauth or the Authorization header',
  403: 'these credentials may not read there',
  404: 'there is no DICOMweb under this URL; it is the root, without /studies',
};

async function search(settings: StowSettings, { timeouts, tokens }: TestOptions): Promise<Answer> {
  const client = createStowClient(settings, { ...timeouts, answerMs: timeouts.connectMs }, tokens);
  try {
    const { status, body, contentType } = await client.probe('/studies?limit=1');
    // A page of a proxy or a log-in answers 200, too; 204 is a server without studies.
    if (status === 200 && !/\b(json|xml)\b/.test(contentType))
      return {
        ok: false,
        message: `HTTP 200 came with ${contentType || 'no Content-Type'} where DICOM JSON was asked for: something else answers under this URL, such as a log-in page`,
      };
    if (status >= 200 && status < 300) return { ok: true, message: 'the DICOMweb server answered' };
    const redirects = status >= 300 && status < 400;
    const remedy = redirects ? 'it redirects: give its final URL' : HTTP_REMEDIES[status];
    return { ok: false, message: `${httpWords(status, body, [])}${remedy ? `; ${remedy}` : ''}` };
  } finally {
    client.close();
  }
}

/** Writes, syncs and removes a file, as a delivery would. */
async function tryFolder(settings: FolderSettings, { folderRoot }: TestOptions): Promise<Answer> {
  const folder = await openFolder(folderRoot, settings);
  const file = path.join(folder, `.isocenter-test-${randomUUID()}`);
  try {
    const handle = await open(file, 'wx', 0o640);
    try {
      await handle.write('Isocenter wrote this to see whether it may; it can be removed.\n');
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rm(file);
  } catch (thrown) {
    throw folderFailure(settings.path, thrown);
  }
  return { ok: true, message: `a file was written to ${settings.path} and removed` };
}
