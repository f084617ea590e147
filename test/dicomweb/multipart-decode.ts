/**
 * A multipart reader for the tests that shares nothing with the one in src: the whole body at once, split at the
 * boundary of the Content-Type.
 */
export function multipartDecode(bytes: Buffer, contentType: string): { type: string; body: Buffer }[] {
  const boundary = /boundary="?([^";]+)"?/.exec(contentType)?.[1];
  if (boundary === undefined) throw new Error(`no boundary in ${contentType}`);
  const parts: { type: string; body: Buffer }[] = [];
  const delimiter = Buffer.from(`--${boundary}`);
  let at = bytes.indexOf(delimiter);
  for (;;) {
    const from = at + delimiter.length;
    if (bytes.toString('latin1', from, from + 2) === '--') return parts;
    const next = bytes.indexOf(Buffer.from(`\r\n--${boundary}`), from);
    if (at < 0 || next < 0) throw new Error('the body ends before its closing boundary');
    const headersEnd = bytes.indexOf('\r\n\r\n', from);
    const headers = bytes.toString('latin1', from, headersEnd);
    parts.push({
      type: /content-type: ([^\r\n]+)/i.exec(headers)?.[1] ?? '',
      body: bytes.subarray(headersEnd + 4, next),
    });
    at = next + 2;
  }
}
