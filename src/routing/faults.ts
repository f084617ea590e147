/** What is wrong with a rule or a destination, every fault a sentence with its path. Used by rule.ts and destination.ts. */
import type { z } from 'zod';
import { Failure } from '../failure.ts';

const SHOWN = 20;
/** What a bound counts, by zod's names; numbers count themselves. */
const UNITS: Readonly<Record<string, string>> = { string: 'character', array: 'item' };

type Issue = z.core.$ZodIssue;

export function sentences(error: { readonly issues: readonly Issue[] }): string[] {
  return error.issues.flatMap((issue): string | string[] => {
    const path = issue.path.map(String).join('.') || 'the body';
    switch (issue.code) {
      case 'unrecognized_keys':
        if (!issue.message.startsWith('Unrecognized key')) return `${path}: ${issue.message}`;
        return `${issue.path.length === 0 ? '' : `${path}: `}${issue.keys.join(', ')} is not known here`;
      case 'invalid_union':
        if (issue.discriminator !== undefined) return `${path}: expected one of ${unionOptions(issue)}`;
        return meant(issue) ?? `${path}: ${issue.message === 'Invalid input' ? forms(issue) : issue.message}`;
      case 'invalid_type':
        return isMissing(issue)
          ? `${path} is missing`
          : `${path}: ${issue.message.replace('Invalid input: ', '')}`;
      case 'too_small':
        if (!issue.message.startsWith('Too small')) return `${path}: ${issue.message}`;
        return `${path}: expected ${counted(issue.minimum, issue.origin)} or more`;
      case 'too_big':
        return `${path}: expected ${counted(issue.maximum, issue.origin)} or fewer`;
      default:
        return `${path}: ${issue.message}`;
    }
  });
}

function counted(count: number | bigint, of: string): string {
  const unit = UNITS[of];
  return unit === undefined ? String(count) : `${count} ${unit}${Number(count) === 1 ? '' : 's'}`;
}

function isMissing(issue: Issue): boolean {
  if (issue.code === 'invalid_union')
    return issue.errors.length > 0 && issue.errors.every((form) => form.every(isMissing));
  return issue.code === 'invalid_type' && /received undefined$/.test(issue.message);
}

type UnionIssue = Extract<Issue, { code: 'invalid_union' }>;

/** Of several forms the faults of the one that was meant: the object that has what this form must have. */
function meant({ errors, path }: UnionIssue): string[] | undefined {
  const fits = errors.filter((form) => !form.some((issue) => issue.path.length === 0 || isOwnMissing(issue)));
  const [form] = fits.length > 0 ? fits : errors.filter(lacksNothing);
  return form && sentences({ issues: form.map((issue) => ({ ...issue, path: [...path, ...issue.path] })) });
}

const isOwnMissing = (issue: Issue): boolean => issue.path.length === 1 && isMissing(issue);
const lacksNothing = (form: readonly Issue[]): boolean =>
  form.every(({ code, path }) => path.length > 0 || code === 'unrecognized_keys') && !form.some(isOwnMissing);

/** By the names that each form must have. */
function forms({ errors }: UnionIssue): string {
  const names = errors.flatMap((form) => form.filter(isOwnMissing).map(({ path }) => String(path[0])));
  return names.length === 0 ? 'none of the allowed forms fits' : `expected one of ${names.join(', ')}`;
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
