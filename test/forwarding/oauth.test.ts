/** STOW destinations behind OAuth 2 client credentials, against a token endpoint and a server that checks its tokens. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { givenStableStudy } from '../routing/given-study.ts';
import { freePort } from '../support/free-port.ts';
import {
  startTokenEndpoint,
  type TokenEndpoint,
  type TokenEndpointOptions,
} from '../support/token-endpoint.ts';
import { type DoorOverHttp, openDoorOverHttp } from './door-over-http.ts';
import { type StowReceiver, startStowReceiver } from './stow-receiver.ts';

let door: DoorOverHttp;
let endpoint: TokenEndpoint;
let cloud: StowReceiver;
/** Before a request is looked at. */
let meanwhile: (nth: number) => void;

beforeEach(async () => {
  meanwhile = () => undefined;
  door = await openDoorOverHttp();
  cloud = await startStowReceiver((request, nth) => {
    meanwhile(nth);
    return endpoint.isGood(request.headers.authorization) ? undefined : { status: 401 };
  });
});
afterEach(async () => {
  await door.close();
  await cloud.stop();
  await endpoint.stop();
});

const secret = 's3cret/+ä';
async function opened(options: TokenEndpointOptions = {}, more: object = {}): Promise<object> {
  endpoint = await startTokenEndpoint(options);
  const oauth = { tokenUrl: endpoint.url, clientId: 'router', clientSecret: secret, ...more };
  const settings = { kind: 'stow', url: cloud.url, oauth };
  await door.destination('cloud', settings);
  await door.rule('all', { send: ['cloud'] });
  return settings;
}
const given = (more: Parameters<typeof givenStableStudy>[1] = {}) =>
  givenStableStudy(door.database, { store: door.store, ...more });

describe('a token', () => {
  test.each(['basic', 'post'])(
    'is asked for once (%s), whatever number of requests it is for',
    async (clientAuth) => {
      await opened({}, { clientAuth, scope: 'store', audience: 'https://dicom.example' });
      await given({ instances: 20 });
      await given({ instances: 3 });
      await door.settled('delivered');
      expect(cloud.kept.size).toBe(23);
      expect(endpoint.asked).toHaveLength(1);
      expect(Object.fromEntries(endpoint.asked[0]!.form)).toMatchObject({
        grant_type: 'client_credentials',
        scope: 'store',
        audience: 'https://dicom.example',
      });
    },
  );

  test('is asked for once by all who wait for it', async () => {
    const settings = await opened({ delayMs: 300 });
    await door.destination('cloud', { ...settings, maxAssociations: 4 });
    for (let n = 0; n < 4; n++) await given({ instances: 1 });
    await door.settled('delivered');
    expect(endpoint.asked).toHaveLength(1);
  });

  test('that is near its end is not used any more', async () => {
    await opened({ expiresIn: 1 });
    await given({ instances: 1 });
    await door.settled('delivered');
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await given({ instances: 1 });
    await door.settled('delivered');
    expect(endpoint.asked).toHaveLength(2);
    expect(cloud.requests, 'no request was refused').toHaveLength(2);
  });

  test('that is taken back in the middle is renewed once, and nothing is lost', async () => {
    await opened();
    meanwhile = (nth) => {
      if (nth === 2) endpoint.revoke();
    };
    await given({ instances: 20 });
    expect(await door.settled('delivered')).toMatchObject([{ delivered: 20, attempts: 1 }]);
    expect(endpoint.asked).toHaveLength(2);
    const { rows } = await door.database.query<{ instances: number }>(
      `select sum(instances) as instances from disclosure where channel = 'stow'`,
    );
    expect(rows[0]?.instances, 'each instance is disclosed once').toBe(20);
  });

  test('that the server does not take even when new parks the delivery, as every 401', async () => {
    await opened();
    meanwhile = () => endpoint.revoke();
    await given({ instances: 2 });
    expect(await door.settled('parked')).toMatchObject([{ lastError: 'HTTP 401 Unauthorized' }]);
    expect(endpoint.asked).toHaveLength(2);
  });
});

describe('an endpoint that gives none', () => {
  test.each<[string, TokenEndpointOptions, RegExp]>([
    ['for wrong credentials', { clientSecret: 'other' }, /gives no token: HTTP 401 \(invalid_client\)/],
    ['and has a fault', { answer: () => ({ status: 503, body: '' }) }, /answered HTTP 503/],
    [
      'and answers with a page',
      { answer: () => ({ status: 200, body: '<html>' }) },
      /without an access_token/,
    ],
    [
      'but another kind',
      { answer: () => ({ status: 200, body: '{"access_token":"x","token_type":"mac"}' }) },
      /no bearer token/,
    ],
  ])('%s is told in words, and what is owed waits', async (_, options, expected) => {
    await opened(options);
    expect((await door.call('POST', '/destinations/cloud/test')).json).toMatchObject({
      ok: false,
      message: expect.stringMatching(expected),
    });
    await given({ instances: 1 });
    const { lastError, state } = await door.failing();
    expect(lastError).toMatch(expected);
    expect(state).not.toBe('parked');
    expect(lastError).not.toContain(secret);
    expect((await door.database.query('select 1 from disclosure')).rowCount).toBe(0);
  });

  test('because it is away', async () => {
    await opened({}, { tokenUrl: `http://127.0.0.1:${await freePort()}/token` });
    expect((await door.call('POST', '/destinations/cloud/test')).json.message).toMatch(
      /token endpoint at 127\.0\.0\.1:\d+ did not answer: nothing listens/,
    );
  });
});

describe('the client secret', () => {
  test('is never shown, kept when it comes back hidden, and given to no other host', async () => {
    await opened();
    const shown = await door.call('GET', '/destinations/cloud');
    expect(JSON.stringify(shown.json)).not.toContain(JSON.stringify(secret).slice(1, -1));
    const { name, changedAt, changedBy, health, ...settings } = shown.json;
    expect([name, changedBy, health]).toMatchObject(['cloud', 'test', { state: 'up' }]);
    expect(await door.call('PUT', '/destinations/cloud', settings)).toMatchObject({
      status: 200,
      json: { changedAt },
    });
    const oauth = { ...(settings.oauth as object), tokenUrl: 'https://elsewhere.example/token' };
    expect(await door.call('PUT', '/destinations/cloud', { ...settings, oauth })).toMatchObject({
      status: 400,
      json: { message: expect.stringContaining('oauth.clientSecret: there is no value to be kept') },
    });
    // The token would go there.
    const moved = { ...settings, url: 'https://elsewhere.example/dicom-web' };
    expect(await door.call('PUT', '/destinations/cloud', moved)).toMatchObject({
      status: 400,
      json: { message: expect.stringContaining('oauth.clientSecret: there is no value to be kept') },
    });
  });

  test('goes in the clear to this machine alone', async () => {
    endpoint = await startTokenEndpoint();
    const put = async (url: string, tokenUrl: string, more: object = {}) =>
      (
        await door.call('PUT', '/destinations/bad', {
          ...{ kind: 'stow', url, ...more },
          oauth: { tokenUrl, clientId: 'a', clientSecret: 'b' },
        })
      ).json.message;
    expect(await put('https://a.example', 'http://b.example/token')).toMatch(/expected https/);
    expect(await put('http://a.example', 'https://b.example/token')).toMatch(/token would go in the clear/);
    const headers = { Authorization: 'x' };
    expect(await put('https://a.example', 'https://b.example', { headers })).toMatch(
      /Authorization header comes from the token/,
    );
  });
});
