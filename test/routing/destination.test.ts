/** A destination that is this archive itself is refused: what is kept here would be sent here. */
import os from 'node:os';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  type DestinationSettings,
  type OwnListener,
  parseDestination,
  refuseOurselves,
} from '../../src/routing/destination.ts';
import { DESTINATION_EXAMPLES } from '../../src/routing/destination-examples.ts';
import { type House, openHouse } from '../support/house.ts';

const to = (host: string, port = 11112, aeTitle = 'ISOCENTER'): DestinationSettings =>
  parseDestination({ kind: 'dimse', host, port, aeTitle });
const here = { aeTitle: 'ISOCENTER', host: '127.0.0.1', ports: [11112, 2762] };
const everywhere = { ...here, host: '0.0.0.0' };
const interfaces = Object.values(os.networkInterfaces()).flatMap((list) => list ?? []);

it.each<[string, DestinationSettings, OwnListener]>([
  ['our address', to('127.0.0.1'), here],
  ['our name on this machine', to('localhost'), here],
  ['another loopback address of a listener on all', to('127.0.0.5'), everywhere],
  ['the TLS port', to('127.0.0.1', 2762), here],
  ["this machine's name, where we listen on all", to(os.hostname()), everywhere],
  ...interfaces.map(({ address }): [string, DestinationSettings, OwnListener] => [
    `the interface ${address}`,
    to(address),
    everywhere,
  ]),
])('%s is ourselves', (_, settings, own) => {
  expect(() => refuseOurselves(settings, own)).toThrow(/is this archive itself/);
});

it.each<[string, DestinationSettings, OwnListener]>([
  ['another AE title behind our port', to('127.0.0.1', 11112, 'OTHER'), here],
  ['our title at another port', to('127.0.0.1', 11113), here],
  ['our title on another machine', to('192.0.2.7'), everywhere],
  ['an address we do not listen on', to('192.0.2.7'), here],
  ['a STOW server', parseDestination({ kind: 'stow', url: 'http://127.0.0.1:11112' }), here],
])('%s is not', (_, settings, own) => {
  expect(() => refuseOurselves(settings, own)).not.toThrow();
});

it.each(Object.entries(DESTINATION_EXAMPLES))(
  'the example %s of the API is a destination',
  (_, { value }) => {
    expect(parseDestination(value)).toMatchObject(value);
  },
);

let house: House;
beforeAll(async () => {
  house = await openHouse({ RECEIVERS: '1' });
});
afterAll(() => house?.close());

it('PUT /api/destinations answers 400 and says why', async () => {
  const response = await fetch(`${house.url}/api/destinations/self`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ kind: 'dimse', host: 'localhost', port: house.dicomPort, aeTitle: 'ISOCENTER' }),
  });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ message: expect.stringContaining('is this archive itself') });
});
