/** A destination of each kind, for the description of the API (admin/openapi.ts). A test parses each of them. */
import type { RuleExample } from './rule-examples.ts';

export const DESTINATION_EXAMPLES: Readonly<Record<string, RuleExample>> = {
  dimse: {
    summary: 'A PACS, which commits to what it got',
    value: { kind: 'dimse', host: '10.0.0.20', port: 104, aeTitle: 'PACS', commitment: {} },
  },
  slow: {
    summary: 'A PACS behind a thin line: at night, not too fast',
    value: {
      ...{
        kind: 'dimse',
        host: 'teleradiology.example',
        port: 104,
        aeTitle: 'TELERAD',
        callingAeTitle: 'HOSPITAL',
      },
      windows: [{ from: '20:00', to: '06:00', zone: 'Europe/Berlin' }],
      rate: { bytesPerSecond: 2_000_000 },
      retry: { firstS: 30, factor: 2, capS: 3600, horizonH: 168 },
    },
  },
  stow: {
    summary: 'A DICOMweb server, with OAuth client credentials',
    value: {
      kind: 'stow',
      url: 'https://other.example/dicom-web',
      oauth: {
        tokenUrl: 'https://login.example/token',
        clientId: 'router',
        clientSecret: '...',
        scope: 'store',
      },
    },
  },
  folder: { summary: 'A folder below FOLDER_ROOT', value: { kind: 'folder', path: 'research/ct' } },
  group: {
    summary: 'The first of them that is up',
    value: { kind: 'group', members: ['pacs', 'standby'] },
  },
};
