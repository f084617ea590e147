/** Routing and forwarding (back-door.ts) with their routes on a port, as an administrator has them. */
import { createHttpDoor } from '../../src/http.ts';
import { createLog } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { type BackDoor, type BackDoorOptions, openBackDoor } from './back-door.ts';

export interface Answer {
  status: number;
  json: Record<string, unknown>;
}

export interface DoorOverHttp extends BackDoor {
  readonly url: string;
  /** @param path below /api @param body JSON, or text that is sent as it is */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
}

export async function openDoorOverHttp(options: BackDoorOptions = {}): Promise<DoorOverHttp> {
  const door = await openBackDoor(options);
  const http = createHttpDoor({
    host: '127.0.0.1',
    port: 0,
    publicUrl: undefined,
    allowedHosts: [],
    routers: [door.routing.routes, door.forwarding.routes],
    readiness: async () => ({ ready: true, detail: {} }),
    metrics: createMetrics(),
    viewerFolder: '/nonexistent',
    log: createLog('silent', 'test'),
  });
  await http.start();
  const url = `http://127.0.0.1:${http.port}`;
  return {
    ...door,
    url,
    async call(method, path, body, headers = {}) {
      const response = await fetch(`${url}/api${path}`, {
        method,
        headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, json: (text ? JSON.parse(text) : {}) as Record<string, unknown> };
    },
    async close() {
      await http.stop(1000);
      await door.close();
    },
  };
}
