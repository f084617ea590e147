/**
 * DICOM dates and times (PS3.5 6.2 DA, TM) as FHIR dateTime.
 * Called by the mapping. A value that is no real date is left out, never guessed.
 */

const DATE = /^(\d{4})[.]?(\d{2})[.]?(\d{2})$/;
const TIME = /^(\d{2})(?::?(\d{2})(?::?(\d{2})(\.\d{1,6})?)?)?$/;
const OFFSET = /^([+-])(\d{2})(\d{2})$/;

/**
 * The date and time with its zone; the date alone where there is no time or no zone can be named.
 * Missing minutes and seconds count as zero, since FHIR wants seconds with every time.
 * @param date   (0008,0020) or (0008,0021): YYYYMMDD, or ACR-NEMA's YYYY.MM.DD
 * @param time   (0008,0030) or (0008,0031): HH[MM[SS[.FFFFFF]]]
 * @param offset (0008,0201) TimezoneOffsetFromUTC, which wins over the site's zone
 * @param zone   the site's IANA zone
 * @returns undefined when the date is absent or no date of the calendar
 */
export function fhirDateTime(date: string, time: string, offset: string, zone: string): string | undefined {
  const [, year = '', month = '', day = ''] = DATE.exec(date.trim()) ?? [];
  const midnight = new Date(`${year}-${month}-${day}T00:00:00Z`);
  if (year === '0000' || Number.isNaN(midnight.getTime())) return undefined;
  if (midnight.toISOString().slice(0, 10) !== `${year}-${month}-${day}`) return undefined;
  const dateAlone = `${year}-${month}-${day}`;

  const [matched, hour = '', minute = '00', second = '00', fraction = ''] = TIME.exec(time.trim()) ?? [];
  if (matched === undefined || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60)
    return dateAlone;
  // A leap second is legal in both standards, but many servers refuse it.
  const wholeSecond = second === '60' ? '59' : second;
  const local = `${dateAlone}T${hour}:${minute}:${wholeSecond}`;
  const zoned = statedOffset(offset.trim()) ?? offsetAt(local, zone);
  return zoned === undefined ? dateAlone : `${local}${fraction}${zoned}`;
}

/** "+0100" as "+01:00", within the limits of (0008,0201): -1200 to +1400. */
function statedOffset(text: string): string | undefined {
  const [, sign, hours = '', minutes = ''] = OFFSET.exec(text) ?? [];
  if (sign === undefined || Number(minutes) > 59) return undefined;
  const total = Number(hours) * 60 + Number(minutes);
  if (total > (sign === '-' ? 12 * 60 : 14 * 60)) return undefined;
  return `${total === 0 ? '+' : sign}${hours}:${minutes}`;
}

/** The offset the zone had at a local time; undefined where it was no whole minute (before standard time). */
function offsetAt(local: string, zone: string): string | undefined {
  const asUtc = Date.parse(`${local}Z`);
  const first = minutesOf(longOffset(asUtc, zone));
  // The offset belongs to the instant, which is known only by the offset: the second look settles summer time.
  return first === undefined ? undefined : clock(longOffset(asUtc - first * 60_000, zone));
}

/** "GMT+01:00", "GMT", or "GMT-00:53:28" before standard time. */
function longOffset(instant: number, zone: string): string {
  const parts = new Intl.DateTimeFormat('en', { timeZone: zone, timeZoneName: 'longOffset' }).formatToParts(
    instant,
  );
  return parts.find((part) => part.type === 'timeZoneName')?.value ?? '';
}

function clock(text: string): string | undefined {
  if (text === 'GMT') return '+00:00';
  return /^GMT([+-]\d{2}:\d{2})$/.exec(text)?.[1];
}

function minutesOf(text: string): number | undefined {
  const [, sign, hours, minutes] = /^([+-])(\d{2}):(\d{2})$/.exec(clock(text) ?? '') ?? [];
  if (sign === undefined) return undefined;
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
}
