/**
 * A structured report as a page of HTML (PS3.18 8.7.4, PS3.3 C.17.3 for the content tree): text only, every value
 * escaped, no script, no link, no picture. Pure. Called by rendered.ts with the parsed data set.
 */
import { type DataSet, text, texts } from '../dicom/data-set.ts';

/** No page of ours needs more, and what a sender writes gets nothing at all. */
export const REPORT_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

const STYLE =
  'body{font:15px/1.5 sans-serif;max-width:60em;margin:1em auto;padding:0 1em}' +
  'table{border-collapse:collapse}th{text-align:left;padding-right:1em;font-weight:normal;color:#555}' +
  'section{margin-left:1em}h1{font-size:1.4em}h2,h3,h4,h5,h6{font-size:1.05em;margin:.8em 0 .2em}' +
  'p{margin:.2em 0}.name{color:#555}.text{white-space:pre-wrap}.status{font-weight:bold}';

const CONTENT_SEQUENCE = '0040A730';
const CODE_MEANING = '00080104';

export function reportHtml(report: DataSet): string {
  const title = meaningIn(report, '0040A043') || 'Structured report';
  const out = [
    `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>`,
    `<style>${STYLE}</style></head><body>\n<h1>${escaped(title)}</h1>\n<table>\n`,
  ];
  for (const [name, value] of heading(report))
    if (value !== '') out.push(`<tr><th>${escaped(name)}</th><td>${escaped(value)}</td></tr>\n`);
  out.push(`</table>\n<p class="status">${escaped(standing(report))}</p>\n`);
  for (const item of itemsOf(report, CONTENT_SEQUENCE)) writeItem(out, item, 2);
  out.push('</body></html>\n');
  return out.join('');
}

function heading(report: DataSet): [string, string][] {
  return [
    ['Patient', personName(text(report, '00100010'))],
    ['Patient ID', text(report, '00100020') ?? ''],
    ['Born', dateTime(text(report, '00100030'))],
    ['Sex', text(report, '00100040') ?? ''],
    ['Accession number', text(report, '00080050') ?? ''],
    ['Study', [dateTime(text(report, '00080020')), text(report, '00081030')].filter(Boolean).join(' ')],
    ['Written', dateTime(`${text(report, '00080023') ?? ''}${text(report, '00080033') ?? ''}`)],
    ['Institution', text(report, '00080080') ?? ''],
    ...itemsOf(report, '0040A073').map((verified): [string, string] => [
      'Verified by',
      [personName(text(verified, '0040A075')), dateTime(text(verified, '0040A030'))]
        .filter(Boolean)
        .join(', '),
    ]),
  ];
}

/** CompletionFlag and VerificationFlag (C.17.2), in words: a report that nobody verified must say so. */
function standing(report: DataSet): string {
  const completion = text(report, '0040A491');
  const verification = text(report, '0040A493');
  const words = [
    completion === 'COMPLETE' ? 'Complete' : completion === 'PARTIAL' ? 'Partial' : '',
    verification === 'VERIFIED' ? 'verified' : verification === 'UNVERIFIED' ? 'not verified' : '',
  ];
  return words.filter(Boolean).join(', ');
}

/** @param level of its heading, 2 to 6 */
function writeItem(out: string[], item: DataSet, level: number): void {
  const name = meaningIn(item, '0040A043');
  const children = itemsOf(item, CONTENT_SEQUENCE);
  const inner = Math.min(6, level + 1);
  if (text(item, '0040A040') === 'CONTAINER') {
    out.push('<section>');
    if (name) out.push(`<h${level}>${escaped(name)}</h${level}>\n`);
    for (const child of children) writeItem(out, child, inner);
    out.push('</section>\n');
    return;
  }
  const label = name ? `<span class="name">${escaped(name)}:</span> ` : '';
  out.push(`<p>${label}<span class="text">${escaped(shownValue(item))}</span></p>\n`);
  if (children.length === 0) return;
  out.push('<section>');
  for (const child of children) writeItem(out, child, inner);
  out.push('</section>\n');
}

/** PS3.3 Table C.17.3-7: where each value type has its value. */
function shownValue(item: DataSet): string {
  const type = text(item, '0040A040') ?? '';
  switch (type) {
    case 'TEXT':
      return text(item, '0040A160') ?? '';
    case 'NUM':
      return measured(item);
    case 'CODE':
      return meaningIn(item, '0040A168');
    case 'PNAME':
      return personName(text(item, '0040A123'));
    case 'DATETIME':
      return dateTime(text(item, '0040A120'));
    case 'DATE':
      return dateTime(text(item, '0040A121'));
    case 'TIME':
      return text(item, '0040A122') ?? '';
    case 'UIDREF':
      return text(item, '0040A124') ?? '';
    case 'IMAGE':
    case 'COMPOSITE':
    case 'WAVEFORM':
      return [type.toLowerCase(), ...itemsOf(item, '00081199').map(reference)].join(' ');
    case 'SCOORD':
    case 'SCOORD3D':
    case 'TCOORD':
      return [type, text(item, '00700023') ?? text(item, '0040A130') ?? ''].join(' ').trim();
    case '': {
      // By reference: the place of another item in the tree (C.17.3.2.5).
      const element = item.elements.get('0040DB73');
      return element ? 'see another item of this report' : '';
    }
    default:
      return type;
  }
}

function measured(item: DataSet): string {
  const values = itemsOf(item, '0040A300').map((value) => {
    const unit = itemsOf(value, '004008EA')[0];
    const symbol = unit && (text(unit, '00080100') === '1' ? '' : text(unit, CODE_MEANING));
    return [texts(value, '0040A30A').join(' '), symbol].filter(Boolean).join(' ');
  });
  return values.join('; ') || meaningIn(item, '0040A301');
}

function reference(item: DataSet): string {
  const frames = texts(item, '00081160');
  return `${text(item, '00081155') ?? ''}${frames.length > 0 ? ` frame ${frames.join(', ')}` : ''}`;
}

function meaningIn(dataSet: DataSet, tag: string): string {
  const [code] = itemsOf(dataSet, tag);
  return (code && (text(code, CODE_MEANING) ?? text(code, '00080100'))) ?? '';
}

const itemsOf = (dataSet: DataSet, tag: string): readonly DataSet[] => dataSet.elements.get(tag)?.items ?? [];

function personName(value: string | undefined): string {
  return (value ?? '')
    .split('=')
    .map((group) => group.split('^').filter(Boolean).join(' '))
    .filter(Boolean)
    .join(' / ');
}

/** Of DA, DT, and DA with TM behind it: what of it is there. */
function dateTime(value: string | undefined): string {
  const found = /^(\d{4})(\d{2})(\d{2})(\d{2})?(\d{2})?/.exec(value ?? '');
  if (!found) return value ?? '';
  const [, year, month, day, hour, minute] = found;
  return `${year}-${month}-${day}${hour && minute ? ` ${hour}:${minute}` : ''}`;
}

function escaped(value: string): string {
  return value.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
