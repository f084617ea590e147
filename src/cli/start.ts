/**
 * `isocenter start`: starts the house, says in a few lines what listens where and how to send a first study,
 * drains on Ctrl-C and SIGTERM. A second Ctrl-C ends at once; the next start recovers.
 */

import { statfsSync } from 'node:fs';
import { type Config, parseConfig } from '../config.ts';
import { asFailure } from '../failure.ts';
import { createLog } from '../log.ts';
import { type Isocenter, PROJECT_FOLDER, shownHost, startIsocenter } from '../main.ts';
import { FIRST_NODE } from './target.ts';

export async function start(): Promise<number> {
  const began = Date.now();
  const config = parseConfig(process.env, PROJECT_FOLDER);
  const ended = Promise.withResolvers<number>();
  const log = createLog(config.logLevel, 'main');
  let isocenter: Isocenter | undefined;
  /** Set once the end was asked for; an end asked for during the start comes right after it. */
  let code: number | undefined;

  const stop = (open: Isocenter): void => {
    open.stop().then(
      () => ended.resolve(code ?? 0),
      (thrown: unknown) => ended.reject(asFailure(thrown)),
    );
  };
  const end = (wanted: number): void => {
    code ??= wanted;
    if (isocenter) stop(isocenter);
  };
  // Ctrl-C on `npm start | tee log` ends tee first: nobody reads any more, and the drain must go on all the same.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    signals++;
    if (signals > 1) process.exit(130);
    console.log(`${signal}: finishing what is under way (at most ${config.drainS} s; again to end at once)`);
    end(0);
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);

  isocenter = await startIsocenter(config, (failure) => {
    log.fatal({ err: failure }, 'a part cannot go on; this process ends, the next start recovers');
    end(1);
  });
  if (code !== undefined) {
    stop(isocenter);
    return ended.promise;
  }

  const { aeTitle, host } = config.dicom;
  const viewer = config.publicUrl ?? `http://${shownHost(config.http.host)}:${isocenter.httpPort}`;
  const { dicomPort, dicomTlsPort } = isocenter;
  const node = `${aeTitle}@${shownHost(host)}:${dicomPort ?? dicomTlsPort}`;
  const tls =
    dicomTlsPort === undefined ? '' : `${dicomPort === undefined ? '' : `, port ${dicomTlsPort}`} by TLS`;
  // Our own sender speaks no TLS yet.
  const firstSteps =
    dicomPort === undefined
      ? 'The plain DICOM port is off: senders come by TLS.'
      : `Send a first study:   npx isocenter modality --ct 200${node === FIRST_NODE ? '' : ` --to ${node}`}
or your own files:    npx isocenter send FOLDER --to ${node}`;
  console.log(`Isocenter is ready (${((Date.now() - began) / 1000).toFixed(1)} s).

  Viewer     ${viewer}/
  DICOMweb   ${viewer}/dicom-web
  DICOM      ${node}${tls}
  Database   ${isocenter.databaseIs === 'embedded' ? 'embedded Postgres' : isocenter.databaseIs}
  Objects    ${config.s3 ? `${config.s3.endpoint}, bucket ${config.s3.bucket}` : config.dataFolder}${diskWarning(config)}

${firstSteps}
Stop with Ctrl-C.`);
  return ended.promise;
}

/** A disk below its reserve refuses every object: better read at the start than found out by a scanner. */
function diskWarning({ dataFolder, journal }: Config): string {
  const { bavail, bsize } = statfsSync(dataFolder);
  if (bavail * bsize >= journal.reserveBytes) return '';
  return `
  Disk       full but for the reserve (DISK_RESERVE): every object is refused until there is more room`;
}
