/**
 * The composition root: opens the rooms in the order of a study's journey and closes them in reverse.
 * Called by cli.ts (`isocenter start`) and by the tests that want the whole house.
 */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import packageJson from '../package.json' with { type: 'json' };
import { createAdminRoutes } from './admin/routes.ts';
import { type Archive, createArchive } from './archive/archive.ts';
import { countOpenConflicts } from './archive/conflict-rows.ts';
import { openDataFolder } from './archive/data-folder.ts';
import { openConfiguredDatabase } from './archive/database/connect.ts';
import { migrate } from './archive/database/migrate.ts';
import { createSpool } from './archive/intake/spool.ts';
import type { Config } from './config.ts';
import { createDicomwebRoutes } from './dicomweb/routes.ts';
import type { Failure } from './failure.ts';
import { createFhir } from './fhir/fhir.ts';
import { createFhirRoutes } from './fhir/routes.ts';
import { createForwarding, type Forwarding } from './forwarding/forwarding.ts';
import { createHttpDoor, type Readiness } from './http.ts';
import { createLog, type Log } from './log.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { BREAKERS } from './routing/health.ts';
import { createRouting, type Routing } from './routing/routing.ts';
import { secretsKeys } from './routing/secrets-key.ts';
import { createScp, type Scp } from './scp/scp.ts';

export const PROJECT_FOLDER = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
export const MIGRATIONS_FOLDER = path.join(PROJECT_FOLDER, 'storage', 'migrations');
const VERSION: string = packageJson.version;
const VIEWER_FOLDER = path.join(PROJECT_FOLDER, 'web-viewer', 'dist');

/** Share of the drain that the settler gets after the doors are closed. */
const SETTLE_LIMIT_MS = 15_000;
/** A start waits no longer than this for what the last run left, nor for a store that is away; it is settled behind it. */
const REPLAY_WAIT_MS = 20_000;

export interface Isocenter {
  readonly httpPort: number;
  /** Undefined when the plain port is closed. */
  readonly dicomPort: number | undefined;
  readonly dicomTlsPort: number | undefined;
  readonly databaseIs: string;
  readonly archive: Archive;
  /** Drains: doors first, Postgres last. Stopping twice is allowed. */
  stop(): Promise<void>;
}

/**
 * @param onFatal told when a part cannot go on and the process must end
 * @throws Failure with a sentence for the administrator: folder, port, database
 */
export async function startIsocenter(
  config: Config,
  onFatal: (failure: Failure) => void,
): Promise<Isocenter> {
  const log = (room: string): Log => createLog(config.logLevel, room);
  /** What is open, to be closed in reverse: by stop(), or by a start that fails half way. */
  const closers: { what: string; close: () => Promise<void> }[] = [];
  const opened = (what: string, close: () => Promise<void>): void => void closers.push({ what, close });
  const closeAll = async (): Promise<void> => {
    for (const { what, close } of closers.splice(0).reverse())
      await close().catch((err: unknown) => log('main').error({ err }, `${what} did not close as it should`));
  };

  try {
    const dataFolder = await openDataFolder(config.dataFolder);
    opened('the data folder', () => dataFolder.close());
    const db = await openConfiguredDatabase({ databaseUrl: config.databaseUrl, dataFolder }, log('database'));
    opened('the database', () => db.stop());
    await migrate(db.database, MIGRATIONS_FOLDER);

    const archive = await createArchive({
      database: db.database,
      connection: db.connection,
      dataFolder,
      s3: config.s3,
      stableAgeS: config.stableAgeS,
      ackAfter: config.ackAfter,
      ackLimitS: config.ackLimitS,
      conflictPolicy: config.conflictPolicy,
      journal: config.journal,
      logLevel: config.logLevel,
      log: log('archive'),
      onFatal,
    });
    opened('the archive', () => archive.stop(SETTLE_LIMIT_MS));
    await archive.start();

    const routing = createRouting({
      database: db.database,
      reader: archive.reader,
      nodeName: dataFolder.nodeName,
      stableAgeS: config.stableAgeS,
      ourselves: () => ({
        aeTitle: config.dicom.aeTitle,
        host: config.dicom.host,
        ports: [scp.port, scp.tlsPort].filter((port) => port !== undefined),
        http: { host: config.http.host, port: http.port, publicUrl: config.publicUrl },
      }),
      folderRoot: config.folderRoot,
      deidentifyKey: config.deidentifyKey,
      secretsKeys: await secretsKeys(dataFolder.path, config.secretsKey, config.databaseUrl === undefined),
      log: log('routing'),
    });
    opened('routing', () => routing.stop());
    await routing.start();

    const forwarding = createForwarding({
      database: db.database,
      reader: archive.reader,
      routing,
      aeTitle: config.dicom.aeTitle,
      folderRoot: config.folderRoot,
      deidentifyKey: config.deidentifyKey,
      spool: createSpool({ folder: dataFolder.tmp, ...config.journal }),
      redisUrl: config.redisUrl,
      log: log('forwarding'),
    });

    const scp = createScp({
      archive,
      commitments: routing.commitments,
      dicom: config.dicom,
      knownAesFile: path.join(dataFolder.path, 'known-aes.json'),
      logLevel: config.logLevel,
      log: log('scp'),
    });
    opened('the DICOM listener', () => scp.stop(config.drainS * 1000));
    await scp.start();

    const dicomweb = createDicomwebRoutes({
      archive,
      publicUrl: config.publicUrl,
      allowDelete: config.allowDelete,
      log: log('dicomweb'),
    });
    opened('the picture workers', () => dicomweb.stop());

    /** Where the EHR and viewers reach us; the port may be the system's choice, so it is asked for late. */
    const publicUrl = (): string => config.publicUrl ?? `http://${shownHost(config.http.host)}:${http.port}`;
    const fhirRoutes = createFhirRoutes({
      database: db.database,
      publicUrl,
      patientSystem: config.fhir?.patientSystem,
      version: VERSION,
      log: log('fhir'),
    });

    const routers = [
      dicomweb.router,
      scp.routes,
      scp.commitment.routes,
      routing.routes,
      forwarding.routes,
      fhirRoutes,
    ];
    const adminRoutes = createAdminRoutes({ archive, tryOut: routing.tryOut, version: VERSION, routers });

    let replayed = false;
    const replay = archive.replayed().then(() => {
      replayed = true;
    });
    const metrics = createMetrics();
    defineMetrics(metrics, { archive, scp, routing, forwarding });
    const http = createHttpDoor({
      ...config.http,
      publicUrl: config.publicUrl,
      allowedHosts: config.allowedHosts,
      routers: [...routers, adminRoutes],
      readiness: () => readiness(archive, db.atRisk, () => replayed),
      metrics,
      viewerFolder: VIEWER_FOLDER,
      log: log('http'),
    });
    opened('the HTTP listener', () => http.stop(config.drainS * 1000));
    await dicomweb.warmUp();
    await http.start();

    opened('forwarding', () => forwarding.stop(config.drainS * 1000));
    await forwarding.start();
    if (config.fhir) {
      const fhir = createFhir({ database: db.database, ...config.fhir, publicUrl, log: log('fhir') });
      opened('the EHR link', () => fhir.stop());
      await fhir.start();
      metrics.gauge('isocenter_fhir_links', 'Studies by the state of their link to the EHR', async () => {
        const counts = await fhir.counts();
        return counts.map(({ state, count }) => ({ labels: { state }, value: count }));
      });
    }
    const patience = Date.now() + REPLAY_WAIT_MS;
    const heldUp = (): boolean => Date.now() > patience || archive.journal().settler.away.length > 0;
    while (!replayed && !heldUp()) await Promise.race([replay, sleep(200)]);

    let stopping: Promise<void> | undefined;
    return {
      httpPort: http.port,
      dicomPort: scp.port,
      dicomTlsPort: scp.tlsPort,
      databaseIs: db.where,
      archive,
      stop() {
        stopping ??= closeAll();
        return stopping;
      },
    };
  } catch (thrown) {
    await closeAll();
    throw thrown;
  }
}

/** A host name one can type; listening on every address is reached as localhost from here. */
export function shownHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}

async function readiness(
  archive: Archive,
  databaseAtRisk: string | undefined,
  replayed: () => boolean,
): Promise<Readiness> {
  const standings = await archive.standings.look();
  const journal = archive.journal();
  const { objects, replaying, away } = journal.settler;
  const words = standings.map(({ kind, away: since }) => [
    kind === 'index' ? 'database' : 'store',
    since === undefined ? 'ok' : { away: since.why, since: since.since.toISOString() },
  ]);
  return {
    ready: standings.every((standing) => standing.away === undefined) && replayed(),
    detail: {
      ...Object.fromEntries(words),
      ...(databaseAtRisk === undefined ? {} : { databaseAtRisk }),
      journal: {
        heldObjects: objects,
        heldBytes: journal.heldBytes,
        oldestAgeS: Math.round(journal.oldestS),
        oldestUnindexedAgeS: Math.round(journal.oldestUnindexedS),
        replayingSegments: replaying,
        ...(journal.refuses === undefined ? {} : { refuses: journal.refuses }),
        ...(away.length === 0 ? {} : { waitsFor: away }),
      },
    },
  };
}

interface Measured {
  archive: Archive;
  scp: Scp;
  routing: Routing;
  forwarding: Forwarding;
}

function defineMetrics(metrics: Metrics, { archive, scp, routing, forwarding }: Measured): void {
  const { counters } = scp;
  metrics.gauge('isocenter_associations_open', 'DICOM associations open now', () => scp.open());
  metrics.counter('isocenter_associations_total', 'DICOM associations by how they ended', () =>
    Object.entries(counters.associations).map(([outcome, value]) => ({ labels: { outcome }, value })),
  );
  metrics.counter(
    'isocenter_objects_stored_total',
    'Objects answered Success over DIMSE',
    () => counters.stored,
  );
  metrics.counter('isocenter_objects_refused_total', 'Objects refused over DIMSE', () => counters.refused);
  metrics.counter(
    'isocenter_refusals_total',
    'What was refused, by what it was and why (/api/refusals)',
    () =>
      archive.refusals.counts().map(({ what, code, count }) => ({ labels: { what, code }, value: count })),
  );
  metrics.counter(
    'isocenter_refusals_unlisted_total',
    'Refusals that are counted and not listed: too many different ones while Postgres was away',
    () => archive.refusals.unlisted(),
  );
  metrics.counter(
    'isocenter_received_bytes_total',
    'Data set bytes received over DIMSE',
    () => counters.bytes,
  );
  metrics.gauge('isocenter_conflicts_open', 'Conflicts that wait for a person, by kind', async () => {
    const open = await countOpenConflicts(archive.database);
    return open.map(({ kind, count }) => ({ labels: { kind }, value: count }));
  });
  metrics.gauge(
    'isocenter_journal_held_objects',
    'Objects acknowledged that are not in the store',
    () => archive.journal().settler.objects,
  );
  metrics.gauge(
    'isocenter_journal_held_bytes',
    'Bytes of JOURNAL_LIMIT in use',
    () => archive.journal().heldBytes,
  );
  metrics.gauge(
    'isocenter_journal_oldest_seconds',
    'Age of the oldest object that is not in the store',
    () => archive.journal().oldestS,
  );
  metrics.gauge(
    'isocenter_journal_oldest_unindexed_seconds',
    'Age of the oldest object that is not in the index',
    () => archive.journal().oldestUnindexedS,
  );
  metrics.gauge(
    'isocenter_journal_refuses',
    '1 while new objects are refused: the journal or the disk is full',
    () => (archive.journal().refuses === undefined ? 0 : 1),
  );
  metrics.gauge('isocenter_up', 'Whether the index (Postgres) and the store (files or S3) answer', () =>
    archive.standings.known().map(({ kind, away }) => ({ labels: { kind }, value: away ? 0 : 1 })),
  );
  metrics.gauge(
    'isocenter_away_seconds',
    'For how long the index or the store has been away; 0 while it answers',
    () =>
      archive.standings.known().map(({ kind, away }) => ({
        labels: { kind },
        value: away ? (Date.now() - away.since.getTime()) / 1000 : 0,
      })),
  );
  metrics.gauge(
    'isocenter_sending_deliveries',
    'Deliveries this process is sending now',
    () => forwarding.active,
  );
  metrics.gauge(
    'isocenter_commitment_requests',
    'Storage commitments that others asked us for, by state',
    async () =>
      (await scp.commitment.table.counts()).map(({ state, count }) => ({ labels: { state }, value: count })),
  );
  metrics.gauge(
    'isocenter_deliveries',
    'Deliveries that are not at their end, by destination and state',
    async () =>
      (await routing.deliveries.openCounts()).map(({ destination, state, count }) => ({
        labels: { destination, state },
        value: count,
      })),
  );
  metrics.counter(
    'isocenter_delivery_attempts_total',
    'Attempts of this process at deliveries, by destination and the state they left',
    () => forwarding.attempts().map(({ count, ...labels }) => ({ labels, value: count })),
  );
  metrics.gauge(
    'isocenter_destination_up',
    'Whether a destination is tried (1) or rests after faults (0)',
    async () => {
      const { destinations } = await routing.numbers();
      return destinations.map(({ destination, up }) => ({ labels: { destination }, value: up ? 1 : 0 }));
    },
  );
  metrics.gauge(
    'isocenter_destination_breaker',
    'The circuit breaker of a destination: 1 at its state (closed, open, half-open)',
    async () => {
      const { destinations } = await routing.numbers();
      return destinations.flatMap(({ destination, breaker }) =>
        BREAKERS.map((state) => ({ labels: { destination, state }, value: state === breaker ? 1 : 0 })),
      );
    },
  );
  metrics.gauge(
    'isocenter_group_member',
    'Members of a group: 1 at the one through which deliveries go now',
    async () => {
      const { groups } = await routing.numbers();
      return groups.map(({ group, member, current }) => ({
        labels: { group, member },
        value: current ? 1 : 0,
      }));
    },
  );
}
