/**
 * Reports a storage commitment on an association of our own, to the address that /api/aes has for the AE: we come as
 * the SCP, by role selection (PS3.4 J.3.3, PS3.7 D.3.3.4). Called through scp.ts by commitment.ts.
 */
import { STORAGE_COMMITMENT } from '../dicom/sop-class.ts';
import { EXPLICIT_LE, IMPLICIT_LE } from '../dicom/transfer-syntax.ts';
import type { OperationOutcome } from '../dimse/operation.ts';
import { openAssociation } from '../dimse/outbound-association.ts';
import { type CommitmentReport, commitmentReport } from '../dimse/storage-commitment.ts';
import { Failure } from '../failure.ts';
import { tlsOptions } from '../routing/tls-settings.ts';
import type { Asker } from './commitment-table.ts';
import type { KnownAe } from './known-ae.ts';
import type { TlsMaterial } from './tls.ts';

/** Together within the lease of commitment-table.ts. */
const TIMEOUTS = { connectMs: 10_000, associateMs: 10_000, responseMs: 15_000, releaseMs: 5000 };

/**
 * @param material of our TLS listener, if there is one: who we are towards an AE is who we are when it calls
 * @throws Failure 'not-found' without an address, else as openAssociation does
 */
export async function callAe(
  known: readonly KnownAe[],
  material: TlsMaterial | undefined,
  { aeTitle, calledAe }: Asker,
  report: CommitmentReport,
): Promise<OperationOutcome> {
  const entry = known.find((one) => one.aeTitle === aeTitle && one.enabled && one.host !== undefined);
  const { host, port } = entry ?? {};
  if (host === undefined || port === undefined)
    throw new Failure(
      'not-found',
      `${aeTitle} has closed its association, and where it listens is not known: put its host and port at /api/aes/NAME`,
    );
  const { ca, cert, key } = material ?? {};
  const isSecure = entry?.hostTls ?? entry?.tls === 'required';
  const association = await openAssociation({
    host,
    port,
    callingAeTitle: calledAe,
    calledAeTitle: aeTitle,
    contexts: [
      { abstractSyntax: STORAGE_COMMITMENT, transferSyntaxes: [EXPLICIT_LE, IMPLICIT_LE], asProvider: true },
    ],
    timeouts: TIMEOUTS,
    ...(isSecure && { tls: tlsOptions({ ca, cert, key, serverName: entry?.serverName }) }),
  });
  try {
    return await association.request(commitmentReport(report));
  } finally {
    await association.release();
  }
}
