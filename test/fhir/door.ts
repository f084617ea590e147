/** The real HTTP door with the given routes alone, for the tests of this room and of admin. */
import type Router from '@koa/router';
import { createHttpDoor } from '../../src/http.ts';
import { createLog } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';

export interface OpenDoor {
  url: string;
  /** Status, media type and parsed body; a body that is no JSON throws. */
  ask(
    path: string,
    init?: RequestInit,
  ): Promise<{ status: number; type: string | null; body: ReturnType<typeof JSON.parse> }>;
  close(): Promise<void>;
}

export async function openDoor(router: Router): Promise<OpenDoor> {
  const door = createHttpDoor({
    host: '127.0.0.1',
    port: 0,
    publicUrl: undefined,
    allowedHosts: [],
    routers: [router],
    readiness: async () => ({ ready: true, detail: {} }),
    metrics: createMetrics(),
    viewerFolder: import.meta.dirname,
    log: createLog('silent', 'http'),
  });
  await door.start();
  const url = `http://127.0.0.1:${door.port}`;
  return {
    url,
    async ask(path, init = {}) {
      const response = await fetch(url + path, init);
      const body = JSON.parse(await response.text());
      return { status: response.status, type: response.headers.get('content-type'), body };
    },
    close: () => door.stop(0),
  };
}
