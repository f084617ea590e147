/** Which page an address names, and which name none. */
import { describe, expect, it } from 'vitest';
import { readRoute } from '../../web-viewer/src/route.ts';

describe('an address', () => {
  it.each([
    ['/', '?name=DOE', { page: 'list', query: '?name=DOE' }],
    ['/viewer', '?study=1.2.3&series=4.5', { page: 'study', studyUid: '1.2.3', seriesUid: '4.5' }],
    ['/studies/1.2.3', '', { page: 'study', studyUid: '1.2.3', seriesUid: undefined }],
    ['/viewer', '', { page: 'list', query: '' }],
    ['/viewer', '?study=abc', { page: 'nowhere' }],
    ['/studies/..%2F1', '', { page: 'nowhere' }],
    ['/nonsense/page', '', { page: 'nowhere' }],
  ])('%s%s', (path, query, route) => {
    expect(readRoute(path, query)).toEqual(route);
  });
});
