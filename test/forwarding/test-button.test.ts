/** POST /api/destinations/NAME/test: each fault in words that a PACS administrator can act on. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { type DoorOverHttp, openDoorOverHttp } from './door-over-http.ts';
import { type Script, type ScriptedPacs, startScriptedPacs } from './scripted-pacs.ts';
import { type StowReply, startStowReceiver } from './stow-receiver.ts';

let door: DoorOverHttp;
let pacs: ScriptedPacs;
let script: Script;

beforeAll(async () => {
  door = await openDoorOverHttp();
  pacs = await startScriptedPacs({
    reject: () => script.reject?.(),
    negotiate: (context) => script.negotiate?.(context) ?? context.transferSyntaxes[0]!,
  });
});
afterAll(async () => {
  await door.close();
  await pacs.stop();
});

async function told(settings: object): Promise<{ ok: boolean; message: string }> {
  const put = await door.call('PUT', '/destinations/tried', settings);
  expect(put.json).toMatchObject({ name: 'tried' });
  const { json } = await door.call('POST', '/destinations/tried/test');
  expect(json.milliseconds).toEqual(expect.any(Number));
  return json as unknown as { ok: boolean; message: string };
}
const dimse = (more: object = {}) => ({
  ...{ kind: 'dimse', host: '127.0.0.1', port: pacs.port, aeTitle: 'PACS' },
  ...more,
});

describe('a PACS', () => {
  test.each<[string, Script, () => Promise<object>, RegExp]>([
    [
      'whose name is not known',
      {},
      async () => dimse({ host: 'no-such-host.invalid' }),
      /no-such-host\.invalid.*(no address is known for that name|the name server does not answer)/,
    ],
    [
      'where nobody listens',
      {},
      async () => dimse({ port: await freePort() }),
      /nothing listens on that port/,
    ],
    [
      'with another AE title',
      {},
      async () => dimse({ aeTitle: 'PASC' }),
      /PASC at 127\.0\.0\.1:\d+: the association was rejected/,
    ],
    [
      'that does not know us',
      { reject: () => 1 },
      async () => dimse({ callingAeTitle: 'WHO' }),
      /the association was rejected/,
    ],
    [
      'that does not offer C-ECHO',
      { negotiate: () => 'refuse-abstract-syntax' },
      async () => dimse(),
      /does not take Verification/,
    ],
    [
      'that is a web server',
      {},
      async () => dimse({ port: Number(new URL(await web({ status: 200 })).port) }),
      /does not answer in DICOM|closed without|cut|hung up/,
    ],
  ])('%s', async (_, does, settings, expected) => {
    script = does;
    expect(await told(await settings())).toMatchObject({
      ok: false,
      message: expect.stringMatching(expected),
    });
  });

  test('that is well', async () => {
    script = {};
    expect(await told(dimse())).toMatchObject({ ok: true, message: 'C-ECHO was answered with Success' });
  });
});

const servers: { stop(): Promise<void> }[] = [];
afterAll(() => Promise.all(servers.map((one) => one.stop())));
async function web(reply: StowReply): Promise<string> {
  const server = await startStowReceiver(() => reply);
  servers.push(server);
  return server.url;
}

describe('a DICOMweb server', () => {
  test.each<[StowReply, RegExp]>([
    [{ status: 401 }, /HTTP 401 Unauthorized; it wants other credentials/],
    [{ status: 403 }, /HTTP 403 Forbidden; these credentials may not/],
    [{ status: 404 }, /HTTP 404 Not Found; there is no DICOMweb under this URL/],
    [{ status: 503 }, /HTTP 503 Service Unavailable/],
    [{ status: 302, headers: { location: '/login' } }, /HTTP 302; it redirects: give its final URL/],
    [
      { status: 200, headers: { 'content-type': 'text/html; charset=utf-8' } },
      /HTTP 200 came with text\/html; charset=utf-8 where DICOM JSON was asked for: .* such as a log-in page/,
    ],
  ])('that answers %j', async (reply, expected) => {
    expect(await told({ kind: 'stow', url: await web(reply) })).toMatchObject({
      ok: false,
      message: expect.stringMatching(expected),
    });
  });

  test('that is well, or not there', async () => {
    expect(await told({ kind: 'stow', url: await web({ status: 200, body: [] }) })).toMatchObject({
      ok: true,
    });
    const away = { kind: 'stow', url: `http://127.0.0.1:${await freePort()}/dicom-web` };
    expect((await told(away)).message).toMatch(/did not answer: nothing listens on that port/);
    expect(await told({ kind: 'stow', url: await web({ status: 204 }) }), 'without studies').toMatchObject({
      ok: true,
    });
    const plain = (await web({ status: 200, body: [] })).replace('http:', 'https:');
    expect((await told({ kind: 'stow', url: plain })).message).toMatch(
      /did not answer: it does not speak TLS on that port, or none that we speak \(EPROTO\)$/,
    );
  });
});
