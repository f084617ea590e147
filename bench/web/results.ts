/**
 * What `bench dicomweb` has measured: values of a figure and a server, round by round, and what went wrong.
 * Pure. The measurements add; web-table.ts reads.
 */

export type Unit = 'ms' | '/s' | 'MB/s' | 'MB';

export interface Goal {
  /** In the figure's unit: no more than this (of rates: no less). */
  readonly reach?: number;
  /** So many times as fast as another server of the same run. */
  readonly times?: readonly { readonly server: string; readonly ratio: number }[];
}

export interface Figure {
  readonly name: string;
  readonly unit: Unit;
  readonly goal?: Goal;
}

export interface Results {
  /** The figure's row stands here, although its values come later. */
  declare(figure: Figure): void;
  add(figure: Figure, server: string, value: number): void;
  /** The server's values of the figure are void, and are not told. */
  fault(figure: Figure, server: string, sentence: string): void;
  readonly figures: readonly Figure[];
  values(figure: Figure, server: string): readonly number[];
  readonly faults: readonly string[];
}

export function createResults(): Results {
  const figures = new Map<string, Figure>();
  const values = new Map<string, number[]>();
  const voided = new Set<string>();
  const faults: string[] = [];
  const key = (figure: Figure, server: string): string => `${figure.name}\n${server}`;
  const declare = (figure: Figure): void => {
    if (!figures.has(figure.name)) figures.set(figure.name, figure);
  };
  return {
    declare,
    add(figure, server, value) {
      declare(figure);
      const known = values.get(key(figure, server)) ?? [];
      known.push(value);
      values.set(key(figure, server), known);
    },
    fault(figure, server, sentence) {
      declare(figure);
      voided.add(key(figure, server));
      faults.push(`${server}, ${figure.name}: ${sentence}`);
    },
    get figures() {
      return [...figures.values()];
    },
    values: (figure, server) =>
      voided.has(key(figure, server)) ? [] : (values.get(key(figure, server)) ?? []),
    faults,
  };
}

/** Of a rate more is better, of a time or a size less. */
export const isRate = (unit: Unit): boolean => unit === '/s' || unit === 'MB/s';

/** @param share 0 to 1: 0.99 for the time that 99 of 100 requests keep to (nearest rank) */
export function percentile(values: readonly number[], share: number): number | undefined {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}
