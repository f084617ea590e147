/**
 * Every module a TypeScript file names: static and dynamic imports, re-exports, types by import(...), workers and other
 * files by `new URL('...', import.meta.url)`, import.meta.resolve and require. Read off the syntax tree by imports.test.ts.
 */
import { parseAst } from 'vitest/node';

type Node = { type: string; [field: string]: unknown };

/** Specifiers in the order they stand; throws when one is not a plain string, since nobody could check that. */
export function importsOf(source: string, path: string): string[] {
  const found: string[] = [];
  const add = (specifier: unknown) => {
    const { type, value } = (specifier ?? {}) as { type?: string; value?: unknown };
    if (type !== 'Literal' || typeof value !== 'string') {
      throw new Error(`${path}: an import of something that is not a plain string`);
    }
    found.push(value);
  };
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) for (const item of value) visit(item);
    if (!isNode(value)) return;
    switch (value.type) {
      case 'ImportDeclaration':
      case 'ExportAllDeclaration':
      case 'ImportExpression':
      case 'TSImportType':
      case 'TSExternalModuleReference':
        add(value.source ?? value.argument ?? value.expression);
        break;
      case 'ExportNamedDeclaration':
        if (value.source) add(value.source);
        break;
      case 'NewExpression': {
        const [first, base] = value.arguments as unknown[];
        if (isNamed(value.callee, 'URL') && isMeta(base, 'url')) add(first);
        break;
      }
      case 'CallExpression':
        if (isMeta(value.callee, 'resolve') || isNamed(value.callee, 'require'))
          add((value.arguments as unknown[])[0]);
        break;
    }
    for (const child of Object.values(value)) visit(child);
  };
  visit(parseAst(source, { lang: path.endsWith('x') ? 'tsx' : 'ts' }, path));
  return found;
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';

const isNamed = (value: unknown, name: string) =>
  isNode(value) && value.type === 'Identifier' && value.name === name;

/** import.meta.NAME */
const isMeta = (value: unknown, name: string) =>
  isNode(value) &&
  value.type === 'MemberExpression' &&
  isNode(value.object) &&
  value.object.type === 'MetaProperty' &&
  isNamed(value.property, name);
