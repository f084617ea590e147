/**
 * What every clock of forwarding keeps to, whatever it stands on. Moments never decide a test: each waits for what
 * must come, and what must not come is looked for after something later has come.
 */
import { expect, test } from 'vitest';
import type { Clock, ClockParts } from '../../src/forwarding/clock/clock.ts';
import { createLog } from '../../src/log.ts';
import type { DueDelivery } from '../../src/routing/ledger.ts';

/** The truth that a clock asks, in memory: what is due, and a word when that changes. */
export class FakeLedger {
  readonly due = new Map<number, number>();
  readonly listeners = new Set<() => void>();
  asked = 0;
  failing = false;

  /** @param inMs from now; `tell` false is a notification that was lost */
  owe(delivery: number, inMs = 0, tell = true): void {
    this.due.set(delivery, performance.now() + inMs);
    if (tell) this.tell();
  }
  tell(): void {
    for (const listener of this.listeners) listener();
  }
  isDue(delivery: number): boolean {
    const at = this.due.get(delivery);
    return at !== undefined && at <= performance.now();
  }
  parts(): Pick<ClockParts, 'window' | 'listen'> {
    return {
      window: async () => {
        this.asked++;
        if (this.failing) throw new Error('the database is away');
        return [...this.due].map(
          ([delivery, at]): DueDelivery => ({ delivery, waitMs: Math.max(0, at - performance.now()) }),
        );
      },
      listen: async (onWord) => {
        this.listeners.add(onWord);
        return {
          stop: async () => {
            this.listeners.delete(onWord);
          },
        };
      },
    };
  }
}

/** Works what it is told, as the sender does: what is due is paid and gone. */
export class Worker {
  readonly paid: number[] = [];
  calls = 0;
  running = 0;
  most = 0;
  /** Each call waits for this before it pays. */
  gate: Promise<void> = Promise.resolve();
  failing = false;
  readonly ledger: FakeLedger;

  constructor(ledger: FakeLedger) {
    this.ledger = ledger;
  }
  readonly onDue = async (delivery: number): Promise<void> => {
    this.calls++;
    this.running++;
    this.most = Math.max(this.most, this.running);
    try {
      if (this.failing) throw new Error('a bug');
      if (!this.ledger.isDue(delivery)) return;
      this.ledger.due.delete(delivery);
      await this.gate;
      this.paid.push(delivery);
    } finally {
      this.running--;
    }
  };
  async untilPaid(...deliveries: number[]): Promise<void> {
    await until(() => deliveries.every((one) => this.paid.includes(one)), `${deliveries} to be paid`);
  }
}

export async function until(done: () => boolean, what: string, limitMs = 20_000): Promise<void> {
  for (const end = Date.now() + limitMs; !done(); ) {
    if (Date.now() > end) throw new Error(`waited ${limitMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** @param make a clock over these parts; made twice in one test they share what the clock stands on */
export function clockContract(make: (parts: ClockParts) => Clock): void {
  const log = createLog('silent', 'test');
  const clocks: Clock[] = [];
  const clockOf = (ledger: FakeLedger, more: Partial<ClockParts> = {}): Clock => {
    const clock = make({ ...ledger.parts(), concurrency: 2, pollMs: 200, log, ...more });
    clocks.push(clock);
    return clock;
  };
  const stopAll = async (): Promise<void> => {
    for (const clock of clocks.splice(0)) await clock.stop();
  };

  async function started(more: Partial<ClockParts> = {}) {
    const ledger = new FakeLedger();
    const worker = new Worker(ledger);
    const clock = clockOf(ledger, more);
    await clock.start(worker.onDue);
    return { ledger, worker, clock };
  }

  test('calls for what was due before it started', async () => {
    const ledger = new FakeLedger();
    const worker = new Worker(ledger);
    ledger.owe(1);
    ledger.owe(2);
    await clockOf(ledger).start(worker.onDue);
    await worker.untilPaid(1, 2);
    await stopAll();
  });

  test('calls for what becomes due, at a word', async () => {
    const { ledger, worker } = await started({ pollMs: 60_000 });
    ledger.owe(7);
    await worker.untilPaid(7);
    await stopAll();
  });

  test('finds what it got no word of', async () => {
    const { ledger, worker } = await started();
    await until(() => ledger.asked > 0, 'the first look');
    ledger.owe(8, 0, false);
    await worker.untilPaid(8);
    await stopAll();
  });

  test('calls when a wait is over', async () => {
    const { ledger, worker } = await started({ pollMs: 60_000 });
    ledger.owe(1, 400);
    ledger.owe(2);
    await worker.untilPaid(1);
    expect(worker.paid).toEqual([2, 1]);
    await stopAll();
  });

  test('can be armed by hand, and sooner than it was', async () => {
    const { ledger, worker, clock } = await started({ pollMs: 60_000 });
    await until(() => ledger.asked > 0, 'the first look');
    ledger.owe(3, 0, false);
    clock.arm(3, 50_000);
    await new Promise((resolve) => setTimeout(resolve, 100));
    clock.arm(3, 0);
    await worker.untilPaid(3);
    await stopAll();
  });

  test('calls for one delivery once, however often it is armed while it waits', async () => {
    const { ledger, worker, clock } = await started({ pollMs: 60_000, concurrency: 1 });
    let open = (): void => undefined;
    worker.gate = new Promise((resolve) => {
      open = resolve;
    });
    ledger.owe(1);
    await until(() => worker.running === 1, 'the first call');
    ledger.owe(2, 0, false);
    for (let n = 0; n < 20; n++) clock.arm(2, 0);
    await new Promise((resolve) => setTimeout(resolve, 200));
    open();
    ledger.owe(3);
    await worker.untilPaid(1, 2, 3);
    expect(worker.calls).toBeLessThanOrEqual(4);
    await stopAll();
  });

  test('never runs more calls at once than it may', async () => {
    const { ledger, worker } = await started({ concurrency: 2 });
    let open = (): void => undefined;
    worker.gate = new Promise((resolve) => {
      open = resolve;
    });
    for (let n = 1; n <= 10; n++) ledger.owe(n);
    await until(() => worker.running === 2, 'two calls');
    open();
    await worker.untilPaid(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
    expect(worker.most).toBe(2);
    await stopAll();
  });

  test('goes on after a call that throws', async () => {
    const { ledger, worker } = await started();
    worker.failing = true;
    ledger.owe(1);
    await until(() => worker.calls > 0, 'a call');
    worker.failing = false;
    ledger.owe(2);
    await worker.untilPaid(1, 2);
    await stopAll();
  });

  test('goes on when the ledger was away', async () => {
    const { ledger, worker } = await started();
    ledger.failing = true;
    ledger.owe(1);
    const asked = ledger.asked;
    await until(() => ledger.asked > asked, 'a look that fails');
    ledger.failing = false;
    await worker.untilPaid(1);
    await stopAll();
  });

  test('begins no call after stop', async () => {
    const { ledger, worker, clock } = await started();
    ledger.owe(1, 300);
    await until(() => ledger.asked > 0, 'a look');
    await clock.stop();
    ledger.owe(2);
    clock.arm(1, 0);
    const { calls } = worker;
    const other = await started();
    other.ledger.owe(9, 400);
    await other.worker.untilPaid(9);
    expect(worker.calls).toBe(calls);
    expect(ledger.listeners.size).toBe(0);
    await stopAll();
  });

  test('two of them share the work, and what one leaves the other finds', async () => {
    const ledger = new FakeLedger();
    const [one, two] = [new Worker(ledger), new Worker(ledger)];
    const first = clockOf(ledger);
    await first.start(one.onDue);
    await clockOf(ledger).start(two.onDue);
    for (let n = 1; n <= 6; n++) ledger.owe(n);
    await until(() => one.paid.length + two.paid.length === 6, 'six to be paid');
    expect([...one.paid, ...two.paid].sort()).toEqual([1, 2, 3, 4, 5, 6]);
    await first.stop();
    ledger.owe(7);
    await two.untilPaid(7);
    await stopAll();
  });
}
