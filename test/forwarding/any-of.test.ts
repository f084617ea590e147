import { getEventListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { anyOf } from '../../src/forwarding/any-of.ts';

describe('anyOf', () => {
  test('aborts with any of its sources, with one that was aborted before, and at its time', async () => {
    const [first, second] = [new AbortController(), new AbortController()];
    const either = anyOf([first.signal, second.signal]);
    expect(either.signal.aborted).toBe(false);
    second.abort();
    expect(either.signal.aborted).toBe(true);
    expect(anyOf([first.signal, second.signal]).signal.aborted).toBe(true);
    const timed = anyOf([first.signal], 5);
    await expect.poll(() => timed.signal.aborted).toBe(true);
  });

  test('keeps nothing with a source that lives on', async () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    const source = new AbortController();
    const attempts: WeakRef<object>[] = [];
    for (let n = 0; n < 100; n++) {
      const held = { bytes: Buffer.alloc(1000) };
      attempts.push(new WeakRef(held));
      const any = anyOf([source.signal], 3_600_000);
      any.signal.addEventListener('abort', () => held.bytes.fill(0));
      any.letGo();
    }
    await sleep(1);
    gc();
    expect(attempts.filter((one) => one.deref()).length).toBeLessThan(5);
    expect(getEventListeners(source.signal, 'abort')).toHaveLength(0);
  });
});
