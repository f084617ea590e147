/** The bench's reader of HTTP answers, at every point where the socket may cut them. */
import { expect, it } from 'vitest';
import { type Answer, createAnswerReader } from '../../../bench/web/answer-reader.ts';

const ANSWERS = [
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n',
  'HTTP/1.1 204 No Content\r\n\r\n',
  'HTTP/1.1 404 Not Found\r\ncontent-length:0\r\nConnection: close\r\n\r\n',
].join('');

const EXPECTED = [
  { status: 200, bytes: 5, body: 'hello', last: false },
  { status: 200, bytes: 13, body: 'abc0123456789', last: false },
  { status: 204, bytes: 0, body: '', last: false },
  { status: 404, bytes: 0, body: '', last: true },
];

function read(pieces: readonly Buffer[], keep = true): Answer[] {
  const answers: Answer[] = [];
  const reader = createAnswerReader((answer) => answers.push(answer));
  reader.keepBodies(keep);
  for (const piece of pieces) reader.feed(piece);
  reader.closed();
  return answers;
}

const told = (answers: Answer[]) =>
  answers.map(({ status, bytes, body, last }) => ({ status, bytes, body: body?.toString(), last }));

it('reads answers with lengths, in chunks and without a body, cut at any byte', () => {
  const all = Buffer.from(ANSWERS);
  for (let at = 0; at <= all.length; at++)
    expect(told(read([all.subarray(0, at), all.subarray(at)]))).toEqual(EXPECTED);
  expect(told(read([...all].map((byte) => Buffer.from([byte]))))).toEqual(EXPECTED);
});

it('counts what it does not keep', () => {
  expect(read([Buffer.from(ANSWERS)], false).map(({ bytes, body }) => [bytes, body])).toEqual([
    [5, undefined],
    [13, undefined],
    [0, undefined],
    [0, undefined],
  ]);
});

it('takes an answer without a length as ended by the close', () => {
  expect(told(read([Buffer.from('HTTP/1.1 200 OK\r\n\r\nab'), Buffer.from('cd')]))).toEqual([
    { status: 200, bytes: 4, body: 'abcd', last: true },
  ]);
});

it.each(['SSH-2.0-OpenSSH\r\n\r\n', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'])(
  'refuses %j',
  (text) => {
    expect(() => read([Buffer.from(text)])).toThrow();
  },
);
