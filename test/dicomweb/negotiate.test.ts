/** Accept headers as viewers send them, and the form each gets for what is stored. */
import { describe, expect, it } from 'vitest';
import { parseAccept, parseMediaType } from '../../src/dicomweb/media-type.ts';
import {
  chooseDicom,
  chooseFrames,
  chooseJson,
  chooseRendered,
  givenSyntaxes,
  instanceWay,
} from '../../src/dicomweb/negotiate.ts';

const IMPLICIT = '1.2.840.10008.1.2';
const EXPLICIT = '1.2.840.10008.1.2.1';
const DEFLATED = '1.2.840.10008.1.2.1.99';
const BIG_ENDIAN = '1.2.840.10008.1.2.2';
const JLS = '1.2.840.10008.1.2.4.80';
const VIDEO = '1.2.840.10008.1.2.4.102';

describe('parseAccept', () => {
  it('orders by weight, keeps quoted separators together and drops q=0', () => {
    const ranges = parseAccept(
      'text/html;q=0.2, multipart/related; type="a/b,c;d"; Transfer-Syntax=*;q=0.9, image/png;q=0, */*;q=0.1',
    );
    expect(ranges.map(({ type, q }) => [type, q])).toEqual([
      ['multipart/related', 0.9],
      ['text/html', 0.2],
      ['*/*', 0.1],
    ]);
    expect(ranges[0]?.parameters.get('type')).toBe('a/b,c;d');
    expect(ranges[0]?.parameters.get('transfer-syntax')).toBe('*');
  });

  it('takes an unquoted media type as a value, as OHIF writes it', () => {
    const media = parseMediaType('multipart/related; type=application/octet-stream; transfer-syntax=*');
    expect(media?.parameters.get('type')).toBe('application/octet-stream');
  });

  it('takes anything where nothing is said, and refuses what cannot be read', () => {
    expect(parseAccept('')[0]?.type).toBe('*/*');
    expect(() => parseAccept('nonsense')).toThrow('no media type');
  });
});

describe('chooseJson', () => {
  it.each([
    ['application/dicom+json', 'application/dicom+json'],
    ['application/json', 'application/json'],
    ['text/html, application/json;q=0.9, */*;q=0.8', 'application/json'],
    ['*/*', 'application/dicom+json'],
    ['', 'application/dicom+json'],
  ])('%s → %s', (accept, type) => {
    expect(chooseJson(parseAccept(accept))).toBe(type);
  });

  it('says what there is instead of XML', () => {
    expect(() => chooseJson(parseAccept('multipart/related; type="application/dicom+xml"'))).toThrow(
      'application/dicom+json',
    );
  });
});

it.each([
  [IMPLICIT, [EXPLICIT]],
  [EXPLICIT, [EXPLICIT]],
  [DEFLATED, [DEFLATED, EXPLICIT]],
  [JLS, [JLS, EXPLICIT]],
  [VIDEO, [VIDEO]],
])('what is stored in %s can be had in %j', (stored, given) => {
  expect(givenSyntaxes(stored)).toEqual(given);
});

describe('chooseDicom and instanceWay', () => {
  const way = (accept: string, stored: string, single = true): string => {
    const form = chooseDicom(parseAccept(accept), single);
    return `${form.multipart ? 'multipart' : 'single'} ${instanceWay(stored, form) ?? 'none'}`;
  };
  const multipart = 'multipart/related; type="application/dicom"';

  it.each([
    [`${multipart}; transfer-syntax=*`, JLS, 'multipart as-stored'],
    [`${multipart}; transfer-syntax=*`, IMPLICIT, 'multipart to-explicit-little-endian'],
    [`${multipart}; transfer-syntax=*`, DEFLATED, 'multipart to-explicit-little-endian'],
    [`${multipart}; transfer-syntax=${DEFLATED}`, DEFLATED, 'multipart as-stored'],
    [multipart, EXPLICIT, 'multipart as-stored'],
    [multipart, BIG_ENDIAN, 'multipart to-explicit-little-endian'],
    [multipart, JLS, 'multipart decoded'],
    [multipart, VIDEO, 'multipart as-stored'],
    [`${multipart}; transfer-syntax=${EXPLICIT}`, VIDEO, 'multipart none'],
    [`${multipart}; transfer-syntax=${EXPLICIT}, ${multipart}; q=0.1`, VIDEO, 'multipart as-stored'],
    [`${multipart}; transfer-syntax=${EXPLICIT}`, JLS, 'multipart decoded'],
    [
      `${multipart}; transfer-syntax=*;q=0.5, ${multipart}; transfer-syntax=${EXPLICIT}`,
      JLS,
      'multipart decoded',
    ],
    [
      `${multipart}; transfer-syntax=*;q=0.5, ${multipart}; transfer-syntax=${EXPLICIT}`,
      VIDEO,
      'multipart as-stored',
    ],
    [
      `${multipart}; transfer-syntax=${JLS}, ${multipart}; transfer-syntax=${EXPLICIT}`,
      JLS,
      'multipart as-stored',
    ],
    [`${multipart}; transfer-syntax=${IMPLICIT}`, IMPLICIT, 'multipart none'],
    ['application/dicom; transfer-syntax=*', JLS, 'single as-stored'],
    ['application/dicom', IMPLICIT, 'single to-explicit-little-endian'],
    ['*/*', JLS, 'multipart as-stored'],
    ['multipart/related', JLS, 'multipart decoded'],
  ])('%s for %s → %s', (accept, stored, expected) => {
    expect(way(accept, stored)).toBe(expected);
  });

  it('gives a study in parts even to a client that names no multipart', () => {
    expect(way('application/dicom; transfer-syntax=*', JLS, false)).toBe('multipart as-stored');
  });

  it('refuses what is no DICOM', () => {
    expect(() => chooseDicom(parseAccept('image/png'), true)).toThrow('application/dicom');
  });
});

describe('chooseFrames', () => {
  const chosen = (accept: string, stored: string, single = true): string => {
    const form = chooseFrames(stored, parseAccept(accept), single);
    return [form.multipart ? 'multipart' : 'single', form.bytes, form.mediaType, form.transferSyntax].join(
      ' ',
    );
  };
  const octets = 'multipart/related; type=application/octet-stream';

  it.each([
    [`${octets}; transfer-syntax=*`, JLS, `multipart stored image/jls ${JLS}`],
    // Older names, alone and in parts.
    ['image/x-jls', JLS, `single stored image/jls ${JLS}`],
    ['multipart/related; type="image/x-jls"', JLS, `multipart stored image/jls ${JLS}`],
    [`${octets}; transfer-syntax=*`, IMPLICIT, `multipart stored application/octet-stream ${EXPLICIT}`],
    [octets, JLS, `multipart decoded application/octet-stream ${EXPLICIT}`],
    [`${octets}; transfer-syntax=${EXPLICIT}`, JLS, `multipart decoded application/octet-stream ${EXPLICIT}`],
    [`${octets}, multipart/related; type="image/jls"`, JLS, `multipart stored image/jls ${JLS}`],
    [
      `${octets};q=1, multipart/related; type="image/jls";q=0.5`,
      JLS,
      `multipart decoded application/octet-stream ${EXPLICIT}`,
    ],
    [`multipart/related; type="image/jls"; transfer-syntax=${JLS}`, JLS, `multipart stored image/jls ${JLS}`],
    ['multipart/related; type="image/*"; transfer-syntax=*', JLS, `multipart stored image/jls ${JLS}`],
    ['image/jls', JLS, `single stored image/jls ${JLS}`],
    ['application/octet-stream', IMPLICIT, `single stored application/octet-stream ${EXPLICIT}`],
    ['*/*', JLS, `multipart stored image/jls ${JLS}`],
    ['', BIG_ENDIAN, `multipart stored application/octet-stream ${EXPLICIT}`],
    [`${octets}; transfer-syntax=*`, VIDEO, `multipart stored application/octet-stream ${VIDEO}`],
  ])('%s for %s → %s', (accept, stored, expected) => {
    expect(chosen(accept, stored)).toBe(expected);
  });

  it('gives several frames in parts', () => {
    expect(chosen('application/octet-stream', IMPLICIT, false)).toContain('multipart');
  });

  it.each([
    ['image/jp2', JLS],
    ['multipart/related; type="image/jls"', IMPLICIT],
    [`${octets}; transfer-syntax=1.2.840.10008.1.2.4.90`, JLS],
  ])('says what there is when %s is asked of %s', (accept, stored) => {
    expect(() => chosen(accept, stored)).toThrow(/can be had as/);
  });
});

describe('chooseRendered', () => {
  const offered = ['image/jpeg', 'image/png', 'image/webp'];
  it.each([
    ['image/png', 'image/png', false],
    ['image/webp, image/png;q=0.5', 'image/webp', false],
    ['image/*', 'image/jpeg', false],
    ['multipart/related; type="image/png"', 'image/png', true],
    ['multipart/related', 'image/jpeg', true],
    ['text/html, image/avif, */*;q=0.8', 'image/jpeg', false],
  ])('%s → %s', (accept, type, multipart) => {
    expect(chooseRendered(parseAccept(accept), offered, true)).toEqual({ type, multipart });
    expect(chooseRendered(parseAccept(accept), offered, false)).toEqual({ type, multipart: true });
  });

  it('says what there is', () => {
    expect(() => chooseRendered(parseAccept('image/gif'), offered, true)).toThrow(
      'image/jpeg, image/png, image/webp',
    );
  });
});
