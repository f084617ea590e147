import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { CT_IMAGE_STORAGE, encodeCtSlice } from '../../src/cli/ct-slice.ts';
import { echo } from '../../src/cli/echo.ts';
import { createProgress } from '../../src/cli/progress.ts';
import { send } from '../../src/cli/send.ts';
import { parseTarget } from '../../src/cli/target.ts';
import { buildFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { type AcceptorOptions, startAcceptor } from '../dimse/acceptor.ts';
import { freePort } from '../support/free-port.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { createScreen } from './screen.ts';

const running: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const part of running.splice(0)) await part.stop();
});

async function acceptor(options?: AcceptorOptions) {
  const started = await startAcceptor(options);
  running.push(started);
  return { ...started, target: `ISOCENTER@127.0.0.1:${started.port}` };
}

const study = { seed: 'send', slices: 12, sliceMm: 1, date: '20250101', time: '000000' };
const pixels = new Int16Array(512 * 512).fill(-1000);
const slices = Array.from({ length: 12 }, (_, index) => encodeCtSlice(study, index, index, pixels));

/** Twelve slices in two folders, a text file, a DICOMDIR, an empty file, and a file that names itself only inside. */
async function folder(): Promise<string> {
  const temp = await tempFolder('send');
  running.push({ stop: temp.remove });
  const meta = (sopInstanceUid: string, sopClassUid = CT_IMAGE_STORAGE) =>
    buildFileMeta({ sopClassUid, sopInstanceUid, transferSyntaxUid: EXPLICIT_LE });
  await mkdir(join(temp.path, 'a', 'deep'), { recursive: true });
  for (const [index, { sopInstanceUid, bytes }] of slices.entries()) {
    const place = join(temp.path, index % 2 === 0 ? 'a' : 'a/deep', `${index}.dcm`);
    // The last says who it is in its data set alone.
    const whole = index === 11 ? nameless(bytes) : Buffer.concat([meta(sopInstanceUid), bytes]);
    await writeFile(place, whole);
    if (index !== 3) continue;
    // One is a link, as in a folder of links into an archive.
    const elsewhere = await tempFolder('send-elsewhere');
    running.push({ stop: elsewhere.remove });
    await rename(place, join(elsewhere.path, '3'));
    await symlink(join(elsewhere.path, '3'), place);
  }
  await writeFile(join(temp.path, 'readme.txt'), 'no DICOM at all, but long enough to look into'.repeat(10));
  await writeFile(join(temp.path, 'empty'), '');
  // The folder above is not walked again, and a link that leads nowhere is none of ours.
  await symlink('..', join(temp.path, 'a', 'up'));
  await symlink('nowhere', join(temp.path, 'a', 'gone'));
  await writeFile(
    join(temp.path, 'DICOMDIR'),
    Buffer.concat([meta('1.2.3', '1.2.840.10008.1.3.10'), slices[0]!.bytes]),
  );
  return temp.path;
}

/** A file whose File Meta has the transfer syntax only. */
function nameless(bytes: Buffer): Buffer {
  const element = Buffer.from(`\x02\x00\x10\x00UI\x14\x00${EXPLICIT_LE}\0`, 'latin1');
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), element, bytes]);
}

describe('send', () => {
  it.each([1, 3])(
    'brings every object byte for byte over %i associations, and names what is none',
    async (associations) => {
      const house = await acceptor();
      const screen = createScreen();
      expect(
        await send([await folder()], house.target, { associations, screen, callingAeTitle: 'CLI' }),
      ).toBe(0);
      const came = new Map(house.kept.map(({ request, bytes }) => [request.affectedSopInstanceUid, bytes]));
      expect(came.size).toBe(12);
      expect(house.kept).toHaveLength(12);
      for (const { sopInstanceUid, bytes } of slices)
        expect(came.get(sopInstanceUid)?.equals(bytes)).toBe(true);
      expect(house.requests).toHaveLength(associations);
      expect(house.requests[0]).toMatchObject({ callingAeTitle: 'CLI' });
      await house.over(associations);
      expect(house.closed.map(({ how }) => how)).toEqual(
        Array.from({ length: associations }, () => 'released'),
      );
      expect(screen.text()).toContain(`12 sent to ${house.target}, 3 not DICOM`);
      expect(screen.text()).toMatch(/readme\.txt: not a DICOM file/);
      expect(screen.text()).toMatch(/DICOMDIR: a DICOMDIR lists objects/);
    },
  );

  it('leaves with 1 and the words of a refusal', async () => {
    let objects = 0;
    const house = await acceptor({
      store: {
        open: () => {
          objects++;
          if (objects === 2) return { status: 0xa700, errorComment: 'The journal is full' };
          if (objects === 3) return { status: 0xb007 };
          return { write: () => undefined, finish: () => ({ status: 0 }), abort: () => undefined };
        },
      },
    });
    const screen = createScreen();
    expect(await send([await folder()], house.target, { screen })).toBe(1);
    expect(screen.text()).toMatch(
      /failed: .*\.dcm \(CT Image Storage\): 0xA700 Refused: Out of Resources: The journal is full/,
    );
    expect(screen.text()).toMatch(/sent with a warning: .*0xB007/);
    expect(screen.text()).toContain('11 sent');
    expect(screen.text()).toContain('1 failed');
  });

  it('leaves with 1 where the peer does not take the class', async () => {
    const house = await acceptor({ negotiate: () => 'refuse-abstract-syntax' });
    const screen = createScreen();
    expect(await send([await folder()], house.target, { screen })).toBe(1);
    expect(screen.text()).toContain('12 failed');
    expect(screen.text()).toContain(
      'CT Image Storage in Explicit VR Little Endian: abstract syntax not supported',
    );
  });

  it('goes on behind a lost association, and gives up on a peer that is not there', async () => {
    let objects = 0;
    const house = await acceptor({
      open: () => ({
        write: () => undefined,
        finish: () => {
          if (++objects === 4) house.associations.at(-1)!.abort('lost on purpose');
          return { status: 0 };
        },
        abort: () => undefined,
      }),
    });
    const screen = createScreen();
    expect(await send([await folder()], house.target, { screen })).toBe(1);
    expect(screen.text()).toContain('11 sent');
    expect(house.requests).toHaveLength(2);

    const nobody = createScreen();
    expect(await send([await folder()], `NOBODY@127.0.0.1:${await freePort()}`, { screen: nobody })).toBe(1);
    expect(nobody.text()).toContain('ECONNREFUSED');
    expect(nobody.text().match(/not tried: /g)).toHaveLength(9);
    expect(nobody.text()).toContain('12 failed');
  });

  it('refuses what makes no sense', async () => {
    await expect(send([], 'A@b:1')).rejects.toMatchObject({ kind: 'invalid' });
    await expect(send(['/nowhere/at/all'], 'A@b:1')).rejects.toMatchObject({ kind: 'invalid' });
    const empty = await tempFolder('send-nothing');
    running.push({ stop: empty.remove });
    await expect(send([empty.path], 'A@b:1')).rejects.toMatchObject({
      kind: 'invalid',
      message: `there is no file in ${empty.path}`,
    });
    await expect(send(['.'], 'A@b:1', { associations: 99 })).rejects.toMatchObject({ kind: 'invalid' });
  });
});

describe('echo', () => {
  it('says what the node answered, and fails in words', async () => {
    const house = await acceptor();
    expect(await echo(house.target, { callingAeTitle: 'CLI' })).toBe(0);
    expect(house.requests[0]?.callingAeTitle).toBe('CLI');
    await expect(echo(`WRONG@127.0.0.1:${house.port}`)).rejects.toMatchObject({
      kind: 'peer-refused',
      message: expect.stringContaining('called AE title not recognized'),
    });
  });
});

describe('parseTarget', () => {
  it('reads names, addresses and ports', () => {
    expect(parseTarget('PACS@pacs.example:104')).toEqual({
      aeTitle: 'PACS',
      host: 'pacs.example',
      port: 104,
      text: 'PACS@pacs.example:104',
    });
    expect(parseTarget('MY PACS@[::1]:11112')).toMatchObject({ aeTitle: 'MY PACS', host: '::1' });
  });

  it.each([
    'PACS',
    'PACS@host',
    '@host:104',
    'PACS@host:0',
    'PACS@host:70000',
    'SEVENTEEN_LETTERS@host:104',
    'PACS@::1:104',
  ])('refuses %s', (text) => {
    expect(() => parseTarget(text)).toThrow(
      expect.objectContaining({ kind: 'invalid', message: expect.stringContaining(text) }),
    );
  });
});

describe('createProgress', () => {
  it('draws a bar in place on a terminal, and lines elsewhere', () => {
    for (const isTTY of [true, false]) {
      const screen = createScreen(isTTY);
      const progress = createProgress({ objects: 4 }, screen);
      progress.add(2, 1_000_000);
      progress.say('a line');
      progress.add(2, 1_000_000);
      progress.end();
      expect(screen.text()).toContain('a line\n');
      expect(screen.text()).toMatch(/4 objects, 2\.0 MB in .* s \(.* MB\/s\)\n$/);
      expect(screen.text().includes('[####')).toBe(isTTY);
      expect(screen.text().includes('\r')).toBe(isTTY);
    }
  });
});
