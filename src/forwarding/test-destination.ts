/**
 * Asks a destination whether it would take anything: C-ECHO over DIMSE, a search for one study over DICOMweb.
 * Called by POST /api/destinations/NAME/test; the fault comes back in words, and no patient data leaves or is kept.
 */
import { VERIFICATION } from '../dicom/sop-class.ts';
import { EXPLICIT_LE, IMPLICIT_LE } from '../dicom/transfer-syntax.ts';
import { openAssociation } from '../dimse/outbound-association.ts';
import { statusWord } from '../dimse/status.ts';
import { asFailure } from '../failure.ts';
import type { DestinationSettings, DimseSettings, StowSettings } from '../routing/destination.ts';
import type { SendTimeouts } from './attempt.ts';
import { httpWords } from './stow-answer.ts';
import { createStowClient } from './stow-client.ts';

export interface DestinationTest {
  ok: boolean;
  message: string;
  milliseconds: number;
}

export async function testDestination(
  settings: DestinationSettings,
  options: { callingAeTitle: string; timeouts: SendTimeouts },
): Promise<DestinationTest> {
  const began = performance.now();
  const ended = (ok: boolean, message: string): DestinationTest => ({
    ok,
    message,
    milliseconds: Math.round(performance.now() - began),
  });
  try {
    const fault =
      settings.kind === 'dimse'
        ? await echo(settings, options.callingAeTitle, options.timeouts)
        : await search(settings, options.timeouts);
    if (fault !== undefined) return ended(false, fault);
    return ended(
      true,
      settings.kind === 'dimse' ? 'C-ECHO was answered with Success' : 'the DICOMweb server answered',
    );
  } catch (thrown) {
    const failure = asFailure(thrown);
    if (failure.kind === 'internal') throw thrown;
    return ended(false, failure.message);
  }
}

/** @returns the fault, if the answer was not Success */
async function echo(
  settings: DimseSettings,
  ours: string,
  timeouts: SendTimeouts,
): Promise<string | undefined> {
  const association = await openAssociation({
    host: settings.host,
    port: settings.port,
    callingAeTitle: settings.callingAeTitle ?? ours,
    calledAeTitle: settings.aeTitle,
    contexts: [{ abstractSyntax: VERIFICATION, transferSyntaxes: [IMPLICIT_LE, EXPLICIT_LE] }],
    timeouts: {
      connectMs: timeouts.connectMs,
      associateMs: timeouts.connectMs,
      responseMs: timeouts.connectMs,
    },
  });
  try {
    const status = await association.echo();
    return status === 0 ? undefined : `C-ECHO was answered with ${statusWord(status)}`;
  } finally {
    await association.release();
  }
}

async function search(settings: StowSettings, timeouts: SendTimeouts): Promise<string | undefined> {
  const client = createStowClient(settings, { ...timeouts, answerMs: timeouts.connectMs });
  try {
    const { status, body } = await client.probe('/studies?limit=1');
    return status >= 200 && status < 300 ? undefined : httpWords(status, body, []);
  } finally {
    client.close();
  }
}
