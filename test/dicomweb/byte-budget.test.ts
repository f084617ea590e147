/** The bound on what all requests hold together. */
import { describe, expect, it } from 'vitest';
import { createByteBudget } from '../../src/dicomweb/byte-budget.ts';

describe('the byte budget', () => {
  it('refuses what does not fit now, lets it in once there is room, and a lone giant always', () => {
    const budget = createByteBudget(100);
    const release = budget.take(60);
    expect(() => budget.take(50)).toThrow('Too many large frames');
    const other = budget.take(40);
    release();
    other();
    const giant = budget.take(500);
    expect(() => budget.take(1)).toThrow('Too many large frames');
    giant();
    budget.take(100)();
  });
});
