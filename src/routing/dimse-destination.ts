/**
 * A destination by DIMSE, as people write it: where it listens, what is proposed, and whether it is to commit to what it
 * got (PS3.4 Annexes B and J). A schema of destination.ts.
 */
import { z } from 'zod';
import { isKnownTransferSyntax } from '../dicom/transfer-syntax.ts';
import { aeTitle } from './named-json.ts';
import { answerSettings, sendingSettings } from './sending-settings.ts';
import { tlsSettings } from './tls-settings.ts';

const hostName = z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/, 'expected a host name or an IP address');
const portNumber = z.number().int().min(1).max(65535);

const commitment = z
  .strictObject({
    enabled: z.boolean().default(true),
    aeTitle: aeTitle
      .optional()
      .describe('Of the system that commits, when it is another than the one sent to'),
    host: hostName.optional(),
    port: portNumber.optional(),
    waitS: z
      .number()
      .int()
      .min(1)
      .max(604_800)
      .default(600)
      .describe('Seconds for its report (N-EVENT-REPORT), before it is asked again'),
    tries: z.number().int().min(1).max(20).default(3).describe('Requests for an instance, at most'),
  })
  .describe(
    'Storage commitment (PS3.4 Annex J): a delivery is done when the peer has committed to each instance',
  );

export type CommitmentSettings = z.infer<typeof commitment>;

export const dimseSettings = z.strictObject({
  kind: z.literal('dimse'),
  host: hostName,
  port: portNumber,
  aeTitle: aeTitle.describe('Its AE title. What came from this AE title is never sent to it'),
  callingAeTitle: aeTitle.optional().describe('Our AE title towards it; AE_TITLE when absent'),
  tls: tlsSettings.optional().describe('Plain DICOM when absent; {} is TLS with what is public'),
  transferSyntaxes: z
    .array(z.string().refine(isKnownTransferSyntax, 'expected the UID of a transfer syntax (PS3.6 A-1)'))
    .min(1)
    .max(50)
    .optional()
    .describe(
      'What is proposed, best first; all when absent. An object goes as it is stored where that is accepted, and is ' +
        'converted where that is possible without loss',
    ),
  commitment: commitment.optional().describe('Off when absent'),
  ...answerSettings,
  ...sendingSettings,
});

export type DimseSettings = z.infer<typeof dimseSettings>;

/** The system that commits to what the destination took: itself, unless another is named. */
export function committerOf(
  settings: DimseSettings,
): Pick<DimseSettings, 'host' | 'port' | 'aeTitle' | 'tls'> {
  const { host, port, aeTitle, tls, commitment: named } = settings;
  const to = { host: named?.host ?? host, port: named?.port ?? port, aeTitle: named?.aeTitle ?? aeTitle };
  // Another system has another name, and the same authorities and the same certificate of ours.
  const towards = tls && to.host !== host ? { ...tls, serverName: undefined } : tls;
  return { ...to, ...(towards && { tls: towards }) };
}
