/** Connections that hold no association are bounded, and an honest sender beside 500 silent ones is served. */
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWaitingRoom } from '../../src/scp/waiting-room.ts';
import { connectRaw, type RawPeer, releaseRequest } from '../dimse/raw-peer.ts';
import { aSeries } from '../support/an-object.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { sendObjects } from '../support/modality.ts';

describe('the waiting room', () => {
  it('drops the oldest of the address with the most', () => {
    const room = createWaitingRoom(4);
    const dropped: string[] = [];
    const enter = (name: string, address: string): net.Socket => {
      const socket = new net.Socket();
      room.enter(socket, address, () => dropped.push(name));
      return socket;
    };
    enter('honest', '10.0.0.1');
    const left = enter('left', '10.0.0.2');
    enter('mad 1', '10.0.0.3');
    enter('mad 2', '10.0.0.3');
    room.leave(left);
    enter('mad 3', '10.0.0.3');
    expect(dropped).toEqual([]);
    enter('mad 4', '10.0.0.3');
    enter('other', '10.0.0.4');
    expect(dropped).toEqual(['mad 1', 'mad 2']);
    expect(room.size).toBe(4);
  });
});

describe('500 connections that say nothing', () => {
  let house: House;
  const silent: RawPeer[] = [];
  beforeAll(async () => {
    house = await openHouse({ MAX_ASSOCIATIONS: '4', DICOM_MAX_WAITING: '60', DICOM_ARTIM_S: '600' });
    for (let n = 0; n < 500; n++) silent.push(await connectRaw(house.dicomPort));
  });
  afterAll(async () => {
    for (const peer of silent) peer.socket.destroy();
    await house?.close();
  });

  it('take no association from an honest sender, who stores beside them', async () => {
    const objects = aSeries(20);
    const answers = await sendObjects(house, 'CT1', objects);
    expect(answers.map(({ status }) => status)).toEqual(objects.map(() => 0));
  });

  it('are cut down to the bound, the oldest first, and listed once with their number', async () => {
    await eventually(async () => {
      const left = silent.filter(({ socket }) => !socket.destroyed);
      return left.length <= 60 ? true : undefined;
    }, 'the bound');
    const open = silent.map(({ socket }) => !socket.destroyed);
    expect(open.lastIndexOf(false)).toBeLessThan(open.length - 10);
    expect(open.slice(0, 100)).not.toContain(true);
    const row = await eventually(async () => {
      const rows = (await (await fetch(`${house.url}/api/refusals`)).json()) as {
        code: string;
        reason: string;
        times: number;
      }[];
      return rows.find(({ reason, times }) => reason.includes('DICOM_MAX_WAITING') && times >= 440);
    }, 'the refusals');
    expect(row.code).toBe('limit');
  });

  it('nor do associations that have ended and linger count against anybody', async () => {
    for (let n = 0; n < 12; n++) {
      const peer = await connectRaw(house.dicomPort);
      await peer.associate({ calling: 'CT1' });
      peer.send(releaseRequest);
      expect((await peer.next())?.type).toBe(6);
      silent.push(peer);
    }
  });
});
