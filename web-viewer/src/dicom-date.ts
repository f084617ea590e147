/**
 * Dates, times and ages (PS3.5 6.2: DA, TM, AS) as a person reads them, and dates back into DA.
 * ISO order, because 03/04 is another day on each side of the Atlantic.
 */

/** DA '20200131' as '2020-01-31'; what is not a date is shown as it stands. */
export function formatDate(da: string): string {
  const match = /^(\d{4})[.]?(\d{2})[.]?(\d{2})$/.exec(da.trim());
  return match ? `${match[1]}-${match[2]}-${match[3]}` : da.trim();
}

/** TM '104702.826' as '10:47:02' or, short, '10:47'. */
export function formatTime(tm: string, precision: 'minutes' | 'seconds' = 'minutes'): string {
  const match = /^(\d{2}):?(\d{2})?:?(\d{2})?/.exec(tm.trim());
  if (!match) return tm.trim();
  const parts = [match[1], match[2] ?? '00', match[3] ?? '00'];
  return parts.slice(0, precision === 'minutes' ? 2 : 3).join(':');
}

/** AS '045Y' as '45 y'. */
export function formatAge(as: string): string {
  const match = /^0*(\d+)([DWMY])$/.exec(as.trim());
  return match ? `${match[1]} ${match[2]?.toLowerCase()}` : as.trim();
}

/** The value of an <input type="date"> ('2020-01-31') as DA; '' stays ''. */
export function toDicomDate(iso: string): string {
  return /^\d{4}-\d{2}-\d{2}$/.test(iso) ? iso.replaceAll('-', '') : '';
}
