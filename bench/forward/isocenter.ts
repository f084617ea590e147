/**
 * Isocenter as a sender: started as `npm start` does, given the series, then told to send it (POST …/resend).
 * Used by bench/forward.ts; a run is over when the ledger says delivered for every destination.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Receiver } from '../receivers/receiver.ts';
import type { Series } from '../series/series.ts';
import type { Sink } from './sinks.ts';

interface Delivery {
  destination: string;
  state: string;
  delivered: number;
  attempts: number;
  lastError: string | null;
}

const LIMIT_MS = 120_000;
/** How often the ledger is asked; on average half of it is in the times. */
const ASK_MS = 10;

export async function createDestination(isocenter: Receiver, sink: Sink): Promise<void> {
  await call(isocenter, 'PUT', `/api/destinations/${sink.name}`, {
    kind: 'dimse',
    host: '127.0.0.1',
    port: sink.port,
    aeTitle: sink.aeTitle,
  });
}

/**
 * @param quietS for so long nobody asks: each question counts the instances, beside the sending that is measured
 * @returns seconds from the order to the ledger's word that all of it is delivered
 */
export async function forwardAll(
  isocenter: Receiver,
  series: Series,
  sinks: readonly Sink[],
  quietS: number,
): Promise<number> {
  const names = sinks.map(({ name }) => name);
  const path = `/api/deliveries?study=${series.studyUid}`;
  const start = performance.now();
  await call(isocenter, 'POST', `/api/studies/${series.studyUid}/resend`, { destinations: names });
  await sleep(quietS * 1000);
  for (;;) {
    const all = (await call(isocenter, 'GET', path)) as Delivery[];
    const mine = all.filter(({ destination }) => names.includes(destination));
    const done = mine.filter(({ state, delivered }) => state === 'delivered' && delivered === series.objects);
    if (done.length === names.length) return (performance.now() - start) / 1000;
    const fault = mine.find(({ lastError }) => lastError !== null && !lastError.startsWith('(resent'));
    if (fault) throw new Error(`The delivery to ${fault.destination} is ${fault.state}: ${fault.lastError}`);
    if (performance.now() - start > LIMIT_MS) throw new Error(`Not delivered within ${LIMIT_MS / 1000} s`);
    await sleep(ASK_MS);
  }
}

async function call({ url }: Receiver, method: string, path: string, body?: object): Promise<unknown> {
  const response = await fetch(`${url}${path}`, {
    method,
    ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  if (!response.ok)
    throw new Error(`Isocenter answered ${response.status} to ${method} ${path}: ${await response.text()}`);
  return response.json();
}
