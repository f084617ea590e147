/**
 * OperationOutcome, both ways: our failures as FHIR answers them, and a peer's outcome as we may keep it.
 * Called by facade.ts (the door's table FailureKind → status) and fhir-client.ts.
 */
import type { Failure, FailureKind } from '../failure.ts';
import type { OperationOutcome } from './resource.ts';

/** HTTP status and issue type (http://hl7.org/fhir/R4/valueset-issue-type.html) of each kind. */
const TABLE: Readonly<Record<FailureKind, readonly [status: number, code: string]>> = {
  invalid: [400, 'invalid'],
  mismatch: [409, 'conflict'],
  'not-found': [404, 'not-found'],
  conflict: [409, 'conflict'],
  forbidden: [403, 'forbidden'],
  'not-acceptable': [406, 'not-supported'],
  unsupported: [400, 'not-supported'],
  'too-large': [413, 'too-long'],
  'no-space': [507, 'no-store'],
  unavailable: [503, 'transient'],
  'peer-refused': [502, 'processing'],
  'peer-unreachable': [504, 'timeout'],
  internal: [500, 'exception'],
};

export function outcomeOf(failure: Failure): { status: number; outcome: OperationOutcome } {
  const [status, code] = TABLE[failure.kind];
  const diagnostics =
    failure.kind === 'internal' ? 'This failed on our side; the log says why.' : failure.message;
  return {
    status,
    outcome: { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code, diagnostics }] },
  };
}

const CODE = /^[a-z-]{1,40}$/;
/** A path of elements. Anything with quotes or blanks in it could carry a value, and is left out. */
const EXPRESSION = /^[A-Za-z][A-Za-z0-9.[\]]{0,119}$/;
const ISSUES_KEPT = 5;

/**
 * A peer's outcome in few words: issue codes and element paths, never its texts, which may quote a patient.
 * @returns '' when the body is no OperationOutcome
 */
export function outcomeSummary(body: unknown): string {
  const issues = (body as { resourceType?: unknown; issue?: unknown } | null | undefined)?.issue;
  if (!Array.isArray(issues)) return '';
  const said = issues.slice(0, ISSUES_KEPT).map((issue: unknown) => {
    const { code, expression } = (issue ?? {}) as { code?: unknown; expression?: unknown };
    const paths = (Array.isArray(expression) ? expression : [])
      .filter((path): path is string => typeof path === 'string' && EXPRESSION.test(path))
      .slice(0, 3);
    const word = typeof code === 'string' && CODE.test(code) ? code : 'unknown';
    return paths.length > 0 ? `${word} at ${paths.join(', ')}` : word;
  });
  const more = issues.length > ISSUES_KEPT ? ` and ${issues.length - ISSUES_KEPT} more` : '';
  return said.join('; ') + more;
}
