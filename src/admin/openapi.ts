/**
 * /api/openapi.json: every route the doors have mounted, read from their routers, with what route-descriptions.ts
 * says of it. A route nobody described is listed all the same; a test fails on it.
 */
import type Router from '@koa/router';
import { type ParameterText, ROUTE_DESCRIPTIONS, type RouteText } from './route-descriptions.ts';

export interface MountedRoute {
  method: string;
  /** In OpenAPI's form: /api/studies/{study}/timeline */
  path: string;
}

/** Methods Koa adds by itself are no operations; nor are catch-all routes that only answer "not found". */
export function mountedRoutes(routers: readonly Router[]): MountedRoute[] {
  return routers
    .flatMap((router) => router.stack)
    .filter((layer) => typeof layer.path === 'string' && !String(layer.path).includes('{*'))
    .flatMap((layer) =>
      layer.methods
        .filter((method) => method !== 'HEAD')
        .map((method) => ({
          method: method.toLowerCase(),
          path: String(layer.path).replace(/[:*](\w+)/g, '{$1}'),
        })),
    );
}

/** OpenAPI 3.1 */
export function openApi(routers: readonly Router[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const { method, path } of mountedRoutes(routers)) {
    const text = ROUTE_DESCRIPTIONS[`${method.toUpperCase()} ${path}`];
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({
      name,
      in: 'path',
      required: true,
      schema: { type: 'string' },
    }));
    const inQuery = Object.entries(text?.query ?? {}).map(([name, parameter]) =>
      queryParameter(name, parameter),
    );
    const parameters = [...inPath, ...inQuery];
    paths[path] ??= {};
    paths[path][method] = {
      tags: [text?.tag ?? 'other'],
      summary: text?.summary ?? '',
      ...(parameters.length > 0 && { parameters }),
      ...(text?.body && {
        requestBody: {
          required: !text.bodyIsOptional,
          content: content(text.body, text.schema, text.examples),
        },
      }),
      responses: {
        ...answers(text),
        default: {
          description: 'A fault, in words',
          content: { 'application/json': { schema: { $ref: '#/components/schemas/Fault' } } },
        },
      },
    };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Isocenter', version, license: { name: 'MIT' } },
    paths,
    components: {
      schemas: {
        Fault: {
          type: 'object',
          required: ['error', 'message'],
          properties: { error: { type: 'string' }, message: { type: 'string' } },
        },
      },
    },
  };
}

function answers({
  status = 200,
  answer = 'OK',
  answerSchema,
  type = 'application/json',
  also = {},
}: Partial<RouteText> = {}) {
  const of = type === null ? {} : { content: content(type, answerSchema) };
  const descriptions = Object.entries({ [status]: answer, ...also });
  return Object.fromEntries(descriptions.map(([code, description]) => [code, { description, ...of }]));
}

function content(
  types: string | readonly string[],
  schema: object = {},
  examples?: RouteText['examples'],
): object {
  return Object.fromEntries([types].flat().map((type) => [type, { schema, ...(examples && { examples }) }]));
}

function queryParameter(name: string, text: ParameterText): object {
  const {
    type = 'string',
    required = false,
    ...rest
  } = typeof text === 'string' ? { description: text } : text;
  return { name, in: 'query', required, schema: { type }, description: rest.description };
}
