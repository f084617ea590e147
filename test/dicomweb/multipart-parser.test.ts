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
    ['a body without boundary', 'nothing here', 'no line of "--" and the boundary'],
    ['a body with another boundary', '--other\r\n\r\na\r\n--other--\r\n', 'no line of "--" and the boundary'],
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

/** Deterministic, so that a failure can be repeated. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

async function* split(bytes: Buffer, ...cuts: number[]): AsyncGenerator<Buffer> {
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    // A copy: nothing behind the cut can be looked at, nor what was given be relied on later.
    yield Buffer.from(bytes.subarray(from, cut));
    from = cut;
  }
}

async function partsOf(source: AsyncIterable<Uint8Array>, boundary: string) {
  const parts: { headers: Record<string, string>; body: string }[] = [];
  for await (const part of parseMultipart(source, boundary)) {
    const pieces: Buffer[] = [];
    for await (const chunk of part.body) pieces.push(Buffer.from(chunk));
    parts.push({ headers: Object.fromEntries(part.headers), body: Buffer.concat(pieces).toString('latin1') });
  }
  return parts;
}

describe('at every split point', () => {
  it('one cut, and two cuts, give the same parts', async () => {
    for (let at = 0; at <= body.length; at++)
      expect(await partsOf(split(body, at), 'bound'), `${at}`).toEqual(expected);
    for (let at = 0; at <= body.length; at++)
      for (const width of [1, 2, 3, 4, 5, 6, 7, 8])
        expect(
          await partsOf(split(body, at, Math.min(at + width, body.length)), 'bound'),
          `${at}+${width}`,
        ).toEqual(expected);
  });

  it('a body that ends there is refused, unless its closing boundary has come', async () => {
    const closed = body.lastIndexOf('--bound--') + '--bound--'.length;
    for (let end = 0; end <= body.length; end++) {
      const cut = partsOf(split(body.subarray(0, end)), 'bound');
      if (end >= closed) expect(await cut, `${end}`).toEqual(expected);
      else await expect(cut, `${end}`).rejects.toThrow(/empty|no line|closing boundary/);
    }
  });

  it('a consumer that leaves a part after any of its bytes meets the next one whole', async () => {
    for (let left = 0; left <= tricky.length; left++) {
      const bodies: string[] = [];
      for await (const part of parseMultipart(chunked(body, 3), 'bound')) {
        let taken = 0;
        const pieces: Buffer[] = [];
        for await (const chunk of part.body) {
          pieces.push(Buffer.from(chunk));
          taken += chunk.length;
          if (bodies.length === 0 && taken >= left) break;
        }
        bodies.push(Buffer.concat(pieces).toString('latin1'));
      }
      expect(bodies.slice(1), `${left}`).toEqual(['no headers', '']);
    }
  });

  it('made-up bodies of all that looks like a boundary give back what was put in, in any chunking', async () => {
    const random = seeded(20_261_122);
    const upTo = (most: number): number => Math.floor(random() * (most + 1));
    const pick = <T>(list: readonly T[]): T => list[upTo(list.length - 1)]!;
    const boundaries = ['b', '-', '--', 'b--', "=_'()+,./:?", 'x'.repeat(70)];
    for (let n = 0; n < 400; n++) {
      const boundary = pick(boundaries);
      const crumbs = [
        '\r',
        '\n',
        '\r\n',
        '-',
        '--',
        boundary,
        boundary.slice(0, -1),
        `\r\n--${boundary.slice(0, -1)}`,
        `--${boundary}`,
        `\r\n--${boundary}x`,
        '\0',
        '\xff',
        ' ',
        'data',
      ];
      const bodies = Array.from({ length: upTo(4) + 1 }, () => {
        let text = '';
        for (let more = upTo(12); more > 0; more--) text += pick(crumbs);
        // What is a delimiter by RFC 2046 5.1.1 cannot stand in a part.
        return isDelimited(`\r\n${text}\r\n--${boundary}`, boundary) ? 'plain' : text;
      });
      const written = bodies.map(
        (text) => `--${boundary}${pick(['', ' ', '\t '])}\r\nX-N: ${n}\r\n\r\n${text}\r\n`,
      );
      const bytes = Buffer.from(
        `${written.join('')}--${boundary}--${pick(['', '\r\n', ' epilogue'])}`,
        'latin1',
      );
      const cuts = Array.from({ length: upTo(40) }, () => upTo(bytes.length)).sort((a, b) => a - b);
      const found = await partsOf(split(bytes, ...cuts), boundary);
      expect(found, JSON.stringify({ n, boundary, bodies, cuts })).toEqual(
        bodies.map((text) => ({ headers: { 'x-n': String(n) }, body: text })),
      );
    }
  });
});

/** Whether a line of the text, but for its last, is the boundary, alone or closing. */
function isDelimited(text: string, boundary: string): boolean {
  for (let at = text.indexOf(`\r\n--${boundary}`); at >= 0; at = text.indexOf(`\r\n--${boundary}`, at + 1)) {
    const behind = text.slice(at + boundary.length + 4);
    if (behind !== '' && /^(--|[ \t]*(\r\n|\r?$))/.test(behind)) return true;
  }
  return false;
}
