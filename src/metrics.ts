/**
 * Numbers for Prometheus at /metrics. Rooms count for themselves; main.ts names here what is read from them at each
 * scrape, so a room never knows the metrics library.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';

export interface Metrics {
  readonly contentType: string;
  /** A value that may go up and down, read at each scrape; several when it has labels. */
  gauge(name: string, help: string, read: Reading): void;
  /** A value that only grows, read at each scrape. */
  counter(name: string, help: string, read: Reading): void;
  render(): Promise<string>;
}

/** All that any value is labelled with: the library refuses the whole scrape for one that it was not told of. */
const LABELS = ['state', 'kind', 'outcome', 'destination', 'group', 'member', 'code', 'what'] as const;
export type Labels = Partial<Record<(typeof LABELS)[number], string>>;

export type Sample = { labels?: Labels; value: number };
export type Reading = () => number | readonly Sample[] | Promise<number | readonly Sample[]>;

export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const failures = new Counter({
    name: 'isocenter_metric_failures_total',
    help: 'Values that could not be read at a scrape and were left out of it',
    registers: [registry],
  });
  /** A value behind a database that is away is left out: that is when the others are wanted most. */
  const samples = async (read: Reading): Promise<readonly Sample[]> => {
    try {
      const value = await read();
      return typeof value === 'number' ? [{ value }] : value;
    } catch {
      failures.inc();
      return [];
    }
  };
  const labelNames = [...LABELS];
  return {
    contentType: registry.contentType,
    gauge(name, help, read) {
      const gauge = new Gauge({
        name,
        help,
        labelNames,
        registers: [registry],
        async collect() {
          this.reset();
          for (const { labels = {}, value } of await samples(read)) gauge.set(labels, value);
        },
      });
    },
    counter(name, help, read) {
      const counter = new Counter({
        name,
        help,
        labelNames,
        registers: [registry],
        async collect() {
          this.reset();
          for (const { labels = {}, value } of await samples(read)) counter.inc(labels, value);
        },
      });
    },
    render: () => registry.metrics(),
  };
}
