/**
 * Retrieve Capabilities (PS3.18 8.9): OPTIONS of the service or of one resource, as WADL (the Standard's default) or
 * as JSON. Read from the routes that are mounted, so that it says what there is. Made by routes.ts.
 */
import type Router from '@koa/router';
import type { Context } from 'koa';
import { Failure } from '../failure.ts';
import { acceptedBy, serviceUrl } from './answer.ts';
import { covers } from './media-type.ts';

const WADL = 'application/vnd.sun.wadl+xml';
const JSON_TYPE = 'application/json';
const ROOT = '/dicom-web';

interface Resource {
  /** Below the service, "studies/{study}/series". */
  path: string;
  methods: { method: string; takes: readonly string[]; gives: readonly string[] }[];
}

const DICOM = 'multipart/related; type="application/dicom"';
const RESULTS = ['application/dicom+json', 'multipart/related; type="application/dicom+xml"'];
const PICTURES = ['image/jpeg', 'image/png', 'image/webp', 'image/gif'];
/** By the last part of the path that is a name. */
const GIVES: Readonly<Record<string, readonly string[]>> = {
  metadata: ['application/dicom+json'],
  rendered: PICTURES,
  thumbnail: PICTURES,
  frames: ['multipart/related; type="application/octet-stream"', 'application/octet-stream'],
  bulkdata: ['multipart/related; type="application/octet-stream"', 'application/octet-stream'],
};

type Routed = Context & { params: Record<string, string | undefined> };

export function retrieveCapabilities(router: Router, publicUrl: string | undefined) {
  return async (ctx: Routed): Promise<void> => {
    const type = chosen(ctx);
    const layers = router.stack.filter(
      (layer) =>
        String(layer.path).startsWith(`${ROOT}/`) &&
        !layer.methods.includes('OPTIONS') &&
        (ctx.params.path === undefined || layer.match(ctx.path)),
    );
    if (layers.length === 0) throw new Failure('not-found', 'There is no such resource in this service');
    const resources = new Map<string, Resource>();
    for (const { path: mounted, methods } of layers) {
      const path = String(mounted)
        .slice(ROOT.length + 1)
        .replace(/[:*](\w+)/g, '{$1}');
      const resource = resources.get(path) ?? { path, methods: [] };
      resources.set(path, resource);
      for (const method of methods)
        resource.methods.push({ method, takes: takenBy(method), gives: givenBy(method, path) });
    }
    const all = [...resources.values()];
    const methods = new Set(all.flatMap((resource) => resource.methods.map(({ method }) => method)));
    ctx.set('Allow', ['OPTIONS', ...methods].join(', '));
    ctx.set('Cache-Control', 'no-cache');
    ctx.vary('Accept');
    ctx.status = 200;
    ctx.type = type;
    const base = serviceUrl(ctx, publicUrl);
    ctx.body = type === WADL ? wadl(base, all) : JSON.stringify({ base, resources: all });
  };
}

function chosen(ctx: Context): string {
  for (const range of acceptedBy(ctx)) {
    if (covers(range, WADL)) return WADL;
    if (covers(range, JSON_TYPE)) return JSON_TYPE;
  }
  throw new Failure('not-acceptable', `Capabilities are given as ${WADL} or ${JSON_TYPE}`);
}

function takenBy(method: string): readonly string[] {
  return method === 'POST' ? [DICOM, 'multipart/related; type="application/dicom+json"'] : [];
}

function givenBy(method: string, path: string): readonly string[] {
  if (method === 'POST') return ['application/dicom+json'];
  if (method === 'DELETE') return [];
  const names = path.split('/').filter((part) => !part.startsWith('{'));
  const named = GIVES[names.at(-1) ?? ''];
  if (named) return named;
  return path.endsWith('}') ? [DICOM] : RESULTS;
}

function wadl(base: string, resources: readonly Resource[]): string {
  const representation = (mediaType: string): string => `<representation mediaType="${escaped(mediaType)}"/>`;
  const method = ({ method: name, takes, gives }: Resource['methods'][number]): string =>
    `<method name="${name}">` +
    (takes.length > 0 ? `<request>${takes.map(representation).join('')}</request>` : '') +
    `<response>${gives.map(representation).join('')}</response></method>`;
  return (
    '<?xml version="1.0" encoding="UTF-8"?>\n' +
    `<application xmlns="http://wadl.dev.java.net/2009/02"><resources base="${escaped(base)}/">` +
    resources
      .map(
        ({ path, methods }) => `<resource path="${escaped(path)}">${methods.map(method).join('')}</resource>`,
      )
      .join('\n') +
    '</resources></application>\n'
  );
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/"/g, '&quot;');
}
