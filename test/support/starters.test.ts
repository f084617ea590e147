/**
 * The starters of this folder do what their suites rely on: come up, answer, keep apart, and leave nothing behind.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startChild } from './child.ts';
import { startFaultProxy } from './fault-proxy.ts';
import { type FhirPeer, startFhirPeer } from './fhir-peer.ts';
import { freePort, isListening } from './free-port.ts';
import { startOrthanc } from './orthanc.ts';
import { startStoreScp } from './pacs.ts';
import { peer } from './peers.ts';
import { startRedis } from './redis.ts';
import { tempFolder } from './temp-folder.ts';

const run = promisify(execFile);
const dcmtk = peer('dcmtk');

/** A tiny secondary capture, made by DCMTK itself. */
async function makeObject(folder: string): Promise<string> {
  const dump = join(folder, 'object.dump');
  const object = join(folder, 'object.dcm');
  await writeFile(
    dump,
    '(0008,0016) UI 1.2.840.10008.5.1.4.1.1.7\n(0008,0018) UI 2.25.1001\n(0008,0060) CS OT\n(0020,000d) UI 2.25.1\n(0020,000e) UI 2.25.10\n',
  );
  await run(dcmtk!.dump2dcm!, [dump, object]);
  return object;
}

describe.skipIf(!dcmtk)('a PACS (dcmtk)', () => {
  it('receives, lists what it received, and is gone after its stop', async () => {
    const temp = await tempFolder('object');
    const pacs = await startStoreScp({ aeTitle: 'FIRST' });
    const other = await startStoreScp();
    try {
      await run(dcmtk!.storescu!, [
        '-aec',
        'FIRST',
        pacs.host,
        String(pacs.port),
        await makeObject(temp.path),
      ]);
      expect((await pacs.received()).map((path) => path.split('/').at(-1))).toEqual(['SC.2.25.1001']);
      expect(await other.received()).toEqual([]);
      expect(pacs.output()).toContain('Received Store Request');
    } finally {
      await pacs.stop();
      await other.stop();
      await temp.remove();
    }
    expect(isListening(pacs.port)).toBe(false);
    expect(existsSync(pacs.folder)).toBe(false);
  });
});

describe.skipIf(!peer('redis-server'))('a Redis (redis-server)', () => {
  it('answers, and comes back on its port', async () => {
    const first = await startRedis();
    await first.stop();
    const redis = await startRedis({ port: first.port });
    try {
      const answer = await new Promise<string>((resolve, reject) => {
        const socket = connect(redis.port, '127.0.0.1', () => socket.write('PING\r\n'));
        socket.once('data', (data) => {
          socket.destroy();
          resolve(data.toString());
        });
        socket.once('error', reject);
      });
      expect(answer).toBe('+PONG\r\n');
    } finally {
      await redis.stop();
    }
  });
});

describe.skipIf(!peer('orthanc') || !dcmtk)('an Orthanc (orthanc, dcmtk)', () => {
  it('takes an object over DIMSE and shows it over DICOMweb', async () => {
    const temp = await tempFolder('object');
    const orthanc = await startOrthanc();
    try {
      await run(dcmtk!.storescu!, [
        '-aec',
        orthanc.aeTitle,
        orthanc.host,
        String(orthanc.dicomPort),
        await makeObject(temp.path),
      ]);
      expect(await orthanc.get('/instances')).toHaveLength(1);
      const studies = await fetch(`${orthanc.dicomWebUrl}/studies`).then((response) => response.json());
      expect(studies).toHaveLength(1);
    } finally {
      await orthanc.stop();
      await temp.remove();
    }
  });
});

describe('a FHIR peer', () => {
  let fhir: FhirPeer;
  beforeAll(async () => {
    fhir = await startFhirPeer();
  });
  afterAll(() => fhir?.stop());

  const patient = {
    resourceType: 'Patient',
    identifier: [{ system: 'urn:oid:1.2.3', value: 'P1' }],
  };
  const send = (
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    base = fhir.url,
  ) =>
    fetch(`${base}/${path}`, {
      method,
      headers: { 'content-type': 'application/fhir+json', ...headers },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });

  it('creates once under a condition, finds, and counts versions', async () => {
    const condition = { 'If-None-Exist': 'identifier=urn:oid:1.2.3|P1' };
    expect((await send('POST', 'Patient', patient, condition)).status).toBe(201);
    expect((await send('POST', 'Patient', patient, condition)).status).toBe(200);
    const [found] = await fhir.search('Patient', { identifier: 'urn:oid:1.2.3|P1' });
    const id = found!.id!;
    expect(await fhir.versions('Patient', id)).toBe(1);
    const changed = { ...found!, active: true };
    expect((await send('PUT', `Patient/${id}`, changed, { 'If-Match': 'W/"nonsense"' })).status).toBe(412);
    await fhir.update(changed);
    expect(await fhir.versions('Patient', id)).toBe(2);
    expect((await fhir.get(`Patient/${id}`)).active).toBe(true);
  });

  it('refuses what is not valid, and says gone after a delete', async () => {
    const invalid = { resourceType: 'ImagingStudy', status: 'nonsense', subject: { reference: 'Patient/1' } };
    const answer = await send('POST', 'ImagingStudy', invalid);
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain('nonsense');
    const created = await fhir.create({ resourceType: 'Patient' });
    expect((await send('DELETE', `Patient/${created.id}`)).status).toBe(200);
    expect((await send('GET', `Patient/${created.id}`)).status).toBe(410);
  });

  it('rolls a failed transaction back', async () => {
    const bundle = {
      resourceType: 'Bundle',
      type: 'transaction',
      entry: [
        {
          request: { method: 'POST', url: 'Patient' },
          resource: { ...patient, identifier: [{ system: 'urn:oid:1.2.3', value: 'P2' }] },
        },
        {
          request: { method: 'POST', url: 'ImagingStudy' },
          resource: { resourceType: 'ImagingStudy', status: 'nonsense' },
        },
      ],
    };
    expect((await send('POST', '', bundle)).status).toBeGreaterThanOrEqual(400);
    expect(await fhir.search('Patient', { identifier: 'urn:oid:1.2.3|P2' })).toEqual([]);
  });

  it('can be put behind faults', async () => {
    const proxy = await startFaultProxy(fhir.url);
    try {
      const through = (method: string, path: string, body?: unknown) =>
        send(method, path, body, {}, proxy.url);
      proxy.inject({ fault: { kind: 'answer', status: 429, headers: { 'retry-after': '1' } } });
      proxy.inject({ fault: { kind: 'lose-answer' }, when: ({ method }) => method === 'POST' });
      proxy.inject({
        fault: { kind: 'refuse' },
        when: ({ method }) => method === 'DELETE',
        times: Number.POSITIVE_INFINITY,
      });
      proxy.inject({ fault: { kind: 'delay', ms: 20 }, when: ({ path }) => path.endsWith('/metadata') });
      const busy = await through('GET', 'metadata');
      expect([busy.status, busy.headers.get('retry-after')]).toEqual([429, '1']);
      expect((await through('GET', 'metadata')).status).toBe(200);

      const lost = { resourceType: 'Patient', identifier: [{ system: 'urn:oid:1.2.3', value: 'lost' }] };
      await expect(through('POST', 'Patient', lost)).rejects.toThrow();
      // Carried out all the same: that is what makes a lost answer hard.
      expect(await fhir.search('Patient', { identifier: 'urn:oid:1.2.3|lost' })).toHaveLength(1);
      await expect(through('DELETE', 'Patient/1')).rejects.toThrow();
      expect(proxy.requests.map(({ method, status }) => [method, status])).toEqual([
        ['GET', 429],
        ['GET', 200],
        ['POST', undefined],
        ['DELETE', undefined],
      ]);
    } finally {
      await proxy.stop();
    }
  });
});

describe('a child process', () => {
  it('that ends while starting says what it printed', async () => {
    const script = 'console.error("no such thing"); process.exit(3)';
    await expect(
      startChild({ command: process.execPath, args: ['-e', script], ready: () => false }),
    ).rejects.toThrow(/ended while starting; it said:\n.*no such thing/s);
  });

  it('that never comes up is ended', async () => {
    const port = await freePort();
    const script = `require('net').createServer().listen(${port}, '127.0.0.1')`;
    await expect(
      startChild({
        command: process.execPath,
        args: ['-e', script],
        ready: () => isListening(port) && false,
        startSeconds: 1,
      }),
    ).rejects.toThrow('did not come up');
    expect(isListening(port)).toBe(false);
  });

  it.skipIf(!existsSync('/usr/bin/setpriv'))('ends when the process that started it is killed', async () => {
    const script = `
      const { startChild } = await import(${JSON.stringify(new URL('child.ts', import.meta.url).href)});
      const child = await startChild({ command: 'sleep', args: ['600'], ready: () => true });
      console.log(child.pid);
      setInterval(() => {}, 1000);`;
    const parent = await startChild({
      command: process.execPath,
      args: ['--input-type=module', '-e', script],
      ready: (output) => /^\d+$/m.test(output),
    });
    const pid = Number(/^\d+$/m.exec(parent.output())![0]);
    const runs = () =>
      existsSync(`/proc/${pid}/status`) && !/State:\s+Z/.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
    expect(runs()).toBe(true);
    await parent.stop(0);
    await expect.poll(runs, { timeout: 10_000 }).toBe(false);
  });
});
