/**
 * bull-board under /api/queues: a look at the Bull queue that wakes deliveries, for administrators. It is for reading
 * alone: what is owed is ordered at /api/deliveries, and the ledger would arm again what is removed here.
 * Mounted by http.ts with the other routes, behind the same checks; made by forwarding.ts where there is a Redis.
 */
import { createRequire } from 'node:module';
import path from 'node:path';
import type {
  AppControllerRoute,
  AppViewRoute,
  BullBoardQueues,
  IServerAdapter,
  UIConfig,
} from '@bull-board/api/typings/app';
import Router from '@koa/router';
import type Bull from 'bull';
import type { Context } from 'koa';
import serve from 'koa-static';
import { Failure } from '../failure.ts';

export interface QueueBoard {
  /** Answers everything below /api/queues. */
  look(ctx: Context, next: () => Promise<unknown>): Promise<void>;
  stop(): Promise<void>;
}

const PREFIX = '/api/queues';
/** A Redis that is away is said, not waited for. */
const PATIENCE_MS = 3000;
/** As http.ts has it, but for <base>: the page's own, to find its files from every address of its own. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "object-src 'none'",
  "base-uri 'self'",
  "frame-ancestors 'self'",
  "form-action 'self'",
].join('; ');

interface Parts {
  views: string;
  statics: string;
  entry: AppViewRoute;
  api: AppControllerRoute[];
  queues: BullBoardQueues;
  uiConfig: UIConfig;
}

/** @param openQueue asked at the first look; undefined where there is no Redis */
export function createQueueBoard(openQueue: (() => Bull.Queue) | undefined): QueueBoard {
  let queue: Bull.Queue | undefined;
  let pages: Router | undefined;

  async function look(ctx: Context, next: () => Promise<unknown>): Promise<void> {
    if (!openQueue)
      throw new Failure(
        'not-found',
        'There is no queue: REDIS_URL is not set, and timers wake the deliveries. What is owed is at /api/deliveries',
      );
    queue ??= openQueue();
    pages ??= pagesOf(boardOf(queue));
    ctx.set('Content-Security-Policy', CONTENT_SECURITY_POLICY);
    // Known by the address that led here; this one's own are looked up anew.
    await pages.routes()(ctx as never, next as never);
  }

  return {
    look,
    async stop() {
      // Only read from: nothing of it is under way.
      await queue?.client.disconnect();
    },
  };
}

/** What bull-board would have mounted. Loaded at the first look only. */
function boardOf(queue: Bull.Queue): Parts {
  const require = createRequire(import.meta.url);
  const { createBullBoard } = require('@bull-board/api') as typeof import('@bull-board/api');
  const { BullAdapter } =
    require('@bull-board/api/bullAdapter') as typeof import('@bull-board/api/bullAdapter');
  const parts: Partial<Parts> = {};
  const adapter: IServerAdapter = {
    setQueues: (queues) => keep({ queues }),
    setViewsPath: (views) => keep({ views }),
    setStaticPath: (_route, statics) => keep({ statics }),
    setEntryRoute: (entry) => keep({ entry }),
    setErrorHandler: () => adapter,
    setApiRoutes: (api) => keep({ api }),
    setUIConfig: (uiConfig) => keep({ uiConfig }),
  };
  function keep(given: Partial<Parts>): IServerAdapter {
    Object.assign(parts, given);
    return adapter;
  }
  createBullBoard({
    queues: [new BullAdapter(queue, { readOnlyMode: true, allowRetries: false })],
    serverAdapter: adapter,
    options: { uiConfig: { boardTitle: 'Isocenter: due deliveries' } },
  });
  return parts as Parts;
}

function pagesOf({ views, statics, entry, api, queues, uiConfig }: Parts): Router {
  const pages = new Router({ prefix: PREFIX });
  const files = serve(path.dirname(statics), { index: false });
  pages.get('/static/*rest', async (ctx, next) => {
    ctx.path = ctx.path.slice(PREFIX.length);
    await files(ctx, next);
  });
  for (const { method, route, handler } of api) {
    if (![method].flat().includes('get')) continue;
    for (const one of [route].flat())
      pages.get(one, async (ctx) => {
        const { params, query, headers } = ctx as unknown as {
          params: object;
          query: object;
          headers: object;
        };
        const asked = { queues, uiConfig, query, params, headers, body: {} } as never;
        const answer = await soon(Promise.resolve(handler(asked)));
        ctx.status = answer.status ?? 200;
        ctx.body = answer.body;
      });
  }
  for (const one of [entry.route].flat())
    pages.get(one === '/' ? '{/}' : one, async (ctx) => {
      ctx.type = 'html';
      ctx.body = await page();
    });

  async function page(): Promise<string> {
    const { renderFile } = createRequire(import.meta.url)('ejs') as {
      renderFile(file: string, values: object): Promise<string>;
    };
    const { name, params } = entry.handler({ basePath: `${PREFIX}/`, uiConfig });
    const html = await renderFile(path.join(views, name), params);
    // Fonts of another site: nobody there needs to know who looks, and our policy would not load them.
    return html.replace(/<link href="https:[^>]*>/g, '');
  }
  return pages;
}

async function soon<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new Failure('unavailable', 'Redis does not answer; deliveries go on by timers', { retryAfterS: 5 }),
        ),
      PATIENCE_MS,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
