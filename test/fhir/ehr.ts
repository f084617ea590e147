/**
 * An EHR and our way to it, for the tests of the link: the R4 peer, a fault proxy in front of it, a database, createFhir.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../../src/archive/database/database.ts';
import { createFhir, type Fhir, type FhirParts } from '../../src/fhir/fhir.ts';
import { findLink, type Link, type LinkState } from '../../src/fhir/link-ledger.ts';
import type { ImagingStudy } from '../../src/fhir/resource.ts';
import { studyIdentifier } from '../../src/fhir/uid-identifier.ts';
import { createLog } from '../../src/log.ts';
import { testDatabase } from '../support/database.ts';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import type { FhirPeer, FhirResource } from '../support/fhir-peer.ts';

export const PATIENT_SYSTEM = 'urn:oid:1.2.276.0.76.3';

export interface Ehr {
  database: Database;
  proxy: FaultProxy;
  /** A patient of this test alone. */
  patientId: string;
  createPatient(): Promise<FhirResource>;
  /** Not started. */
  fhir(more?: Partial<FhirParts>): Fhir;
  imagingStudies(studyUid: string): Promise<(ImagingStudy & FhirResource)[]>;
  /** The link once it is in that state. */
  link(studyUid: string, state: LinkState): Promise<Link>;
  /** Requests that reached the proxy, as "PUT ImagingStudy". */
  requests(): string[];
  close(): Promise<void>;
}

/** A test that waits longer has failed; how long it took decides nothing. */
const PATIENCE_MS = 20_000;

export async function until<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`waited ${PATIENCE_MS} ms for ${what}`);
    await sleep(20);
  }
}

export async function openEhr(peer: FhirPeer): Promise<Ehr> {
  const { database, drop } = await testDatabase();
  const proxy = await startFaultProxy(peer.url);
  const patientId = randomUUID();
  const started: Fhir[] = [];
  return {
    database,
    proxy,
    patientId,
    createPatient: () =>
      peer.create({ resourceType: 'Patient', identifier: [{ system: PATIENT_SYSTEM, value: patientId }] }),
    fhir(more = {}) {
      const fhir = createFhir({
        database,
        baseUrl: proxy.url,
        token: undefined,
        patientSystem: PATIENT_SYSTEM,
        publicUrl: () => 'http://127.0.0.1:8080',
        log: createLog('silent', 'fhir'),
        zone: 'Europe/Berlin',
        backoff: { firstMs: 20, longestMs: 100, unlinkedFirstMs: 3_600_000, unlinkedLongestMs: 3_600_000 },
        drainMs: 500,
        ...more,
      });
      started.push(fhir);
      return fhir;
    },
    imagingStudies: async (studyUid) => {
      const { system, value } = studyIdentifier(studyUid);
      return (await peer.search('ImagingStudy', { identifier: `${system}|${value}` })) as (ImagingStudy &
        FhirResource)[];
    },
    link: (studyUid, state) =>
      until(`${state} ${studyUid}`, async () => {
        const link = await findLink(database, studyUid);
        return link?.state === state ? link : undefined;
      }),
    requests: () => proxy.requests.map(({ method, path }) => `${method} ${path.split(/[/?]/)[2]}`),
    async close() {
      await Promise.all(started.map((fhir) => fhir.stop()));
      await proxy.stop();
      await drop();
    },
  };
}
