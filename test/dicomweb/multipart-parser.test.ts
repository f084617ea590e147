/** The streaming multipart parser: every chunking gives the same parts, and every bad body its sentence. */
import { describe, expect, it } from 'vitest';
import { checkBoundary, parseMultipart } from '../../src/dicomweb/multipart-parser.ts';
import { writeMultipart } from '../../src/dicomweb/multipart-writer.ts';

async function* chunked(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function parsed(bytes: Buffer, boundary: string, size = bytes.length || 1) {
  const parts: { headers: Record<string, string>; body: string }[] = [];
  for await (const part of parseMultipart(chunked(bytes, size), boundary)) {
    const pieces: Buffer[] = [];
    for await (const chunk of part.body) pieces.push(Buffer.from(chunk));
    parts.push({ headers: Object.fromEntries(part.headers), body: Buffer.concat(pieces).toString('latin1') });
  }
  return parts;
}

const tricky = '\r\n--\r\n--b\r\n--bo\r\n--boundX\r\n--bound-\r\r\n\r\n--boun';
const body = Buffer.from(
  [
    'a preamble that is ignored',
    '--bound',
    'Content-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2.1',
    'X-Folded: one',
    '  two',
    '',
    tricky,
    '--bound \t ',
    '',
    'no headers',
    '--bound',
    'Content-Type: application/dicom',
    '',
    '',
    '--bound--',
    'an epilogue --bound',
  ].join('\r\n'),
  'latin1',
);
const expected = [
  {
    headers: {
      'content-type': 'application/dicom; transfer-syntax=1.2.840.10008.1.2.1',
      'x-folded': 'one two',
    },
    body: tricky,
  },
  { headers: {}, body: 'no headers' },
  { headers: { 'content-type': 'application/dicom' }, body: '' },
];

describe('parseMultipart', () => {
  it.each([1, 2, 3, 5, 7, 11, 16, 64, 4096])('gives the same parts in chunks of %i bytes', async (size) => {
    expect(await parsed(body, 'bound', size)).toEqual(expected);
  });

  it('passes over what a consumer leaves unread', async () => {
    const seen: string[] = [];
    for await (const part of parseMultipart(chunked(body, 9), 'bound')) {
      seen.push(part.headers.get('content-type') ?? 'none');
      for await (const chunk of part.body) {
        void chunk;
        break;
      }
    }
    expect(seen).toHaveLength(3);
  });

  it('holds back no more than a delimiter of a large part', async () => {
    let given = 0;
    async function* large() {
      yield Buffer.from('--b\r\n\r\n');
      for (let i = 0; i < 64; i++) {
        given += 65_536;
        yield Buffer.alloc(65_536, 0x0d);
      }
      yield Buffer.from('\r\n--b--');
    }
    let taken = 0;
    for await (const part of parseMultipart(large(), 'b')) {
      for await (const chunk of part.body) {
        taken += chunk.length;
        expect(given - taken).toBeLessThanOrEqual(16);
      }
    }
    expect(taken).toBe(64 * 65_536);
  });

  it('reads what the writer writes', async () => {
    async function* bytes(text: string) {
      yield Buffer.from(text);
    }
    async function* parts() {
      yield { contentType: 'application/dicom', body: bytes('first') };
      yield { contentType: 'image/jls', contentLocation: '/x', body: bytes('second') };
    }
    const written = writeMultipart('application/dicom', parts());
    const boundary = /boundary="([^"]+)"/.exec(written.contentType)?.[1];
    const pieces: Uint8Array[] = [];
    for await (const chunk of written.body) pieces.push(chunk);
    expect(await parsed(Buffer.concat(pieces), checkBoundary(boundary))).toEqual([
      { headers: { 'content-type': 'application/dicom' }, body: 'first' },
      { headers: { 'content-type': 'image/jls', 'content-location': '/x' }, body: 'second' },
    ]);
  });

  it.each([
    ['an empty body', '', 'The body is empty'],
    ['a body without boundary', 'nothing here', 'ends before its closing boundary'],
    ['a body cut inside a part', '--bound\r\n\r\nhalf a part', 'ends before its closing boundary'],
    [
      'a body cut before the closing dashes',
      '--bound\r\n\r\nwhole\r\n--bound',
      'ends before its closing boundary',
    ],
    ['endless headers', `--bound\r\nX: ${'x'.repeat(20_000)}`, 'headers are longer than 16384 bytes'],
    ['an endless preamble', 'x'.repeat(70_000), 'first 65536 bytes hold no boundary'],
  ])('refuses %s', async (_name, text, sentence) => {
    await expect(parsed(Buffer.from(text), 'bound', 1000)).rejects.toThrow(sentence);
  });
});

describe('checkBoundary', () => {
  it('takes what clients send and refuses the rest', () => {
    expect(checkBoundary('=_(some) boundary:?')).toBe('=_(some) boundary:?');
    for (const bad of [undefined, '', 'ends in space ', 'line\r\nbreak', 'x'.repeat(201)])
      expect(() => checkBoundary(bad)).toThrow('oundary');
  });
});
