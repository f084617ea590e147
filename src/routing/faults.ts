/** What is wrong with a rule or a destination, every fault a sentence with its path. Used by rule.ts and destination.ts. */
import type { z } from 'zod';
import { Failure } from '../failure.ts';

const SHOWN = 20;
/** What a bound counts, by zod's names; numbers count themselves. */
const UNITS: Readonly<Record<string, string>> = { string: ' characters', array: ' items' };

export function sentences(error: z.ZodError): string[] {
  return error.issues.map((issue) => {
    const path = issue.path.map(String).join('.') || 'the body';
    switch (issue.code) {
      case 'unrecognized_keys':
        return `${issue.path.length === 0 ? '' : `${path}: `}${issue.keys.join(', ')} is not known here`;
      case 'invalid_union':
        if (issue.discriminator !== undefined) return `${path}: expected one of ${unionOptions(issue)}`;
        return `${path}: ${issue.message === 'Invalid input' ? 'none of the allowed forms fits' : issue.message}`;
      case 'invalid_type':
        return /received undefined$/.test(issue.message)
          ? `${path} is missing`
          : `${path}: ${issue.message.replace('Invalid input: ', '')}`;
      case 'too_small':
        if (!issue.message.startsWith('Too small')) return `${path}: ${issue.message}`;
        return `${path}: expected ${issue.minimum}${UNITS[issue.origin] ?? ''} or more`;
      case 'too_big':
        return `${path}: expected ${issue.maximum}${UNITS[issue.origin] ?? ''} or fewer`;
      default:
        return `${path}: ${issue.message}`;
    }
  });
}

function unionOptions(issue: object): string {
  const { options } = issue as { options?: readonly unknown[] };
  return options?.map(String).join(', ') ?? 'the allowed values';
}

export function invalid(what: string, faults: readonly string[]): Failure {
  const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`;
  const more = faults.length > SHOWN ? `; and ${faults.length - SHOWN} more` : '';
  return new Failure('invalid', `${what} has ${count}: ${faults.slice(0, SHOWN).join('; ')}${more}`);
}
