import { describe } from 'vitest';
import { createPostgresTimer } from '../../src/forwarding/clock/postgres-timer.ts';
import { clockContract } from '../contracts/clock.contract.ts';

describe('the clock of timers', () => clockContract(createPostgresTimer));
