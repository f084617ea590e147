/** What differs between two data sets, whatever they are written in. */
import { describe, expect, it } from 'vitest';
import { compareDataSets } from '../../src/dicom/compare-data-sets.ts';
import { type DataSet, parseDataSet } from '../../src/dicom/data-set.ts';
import { element, sequence, uint16, type Written } from './elements.ts';

const SYNTAX = { explicit: '1.2.840.10008.1.2.1', implicit: '1.2.840.10008.1.2', big: '1.2.840.10008.1.2.2' };
type Form = keyof typeof SYNTAX;
const written: Record<Form, Written> = {
  explicit: {},
  implicit: { implicit: true },
  big: { bigEndian: true },
};

interface Wanted {
  name?: string;
  rows?: number;
  inner?: string;
  items?: number;
  more?: Buffer[];
  undefinedLength?: boolean;
}

function dataSet(form: Form, wanted: Wanted = {}): DataSet {
  const as = written[form];
  const {
    name = 'Example^Anna',
    rows = 513,
    inner = '1.2 ',
    items = 2,
    more = [],
    undefinedLength = false,
  } = wanted;
  const bytes = Buffer.concat([
    sequence(
      '00081140',
      Array.from({ length: items }, () => element('00081155', 'UI', inner, as)),
      { ...as, undefinedLength },
    ),
    element('00090010', 'LO', 'MAKER ', as),
    // In Implicit VR nobody knows that this is a sequence.
    sequence('00091010', [element('00091011', 'LO', 'AB', as)], as),
    element('00100010', 'PN', name, as),
    ...more,
    element('00280010', 'US', uint16(rows, as), as),
  ]);
  const parsed = parseDataSet(bytes, SYNTAX[form]);
  expect(parsed.fault).toBeUndefined();
  return parsed;
}

const forms: Form[] = ['explicit', 'implicit', 'big'];
const pairs = forms.flatMap((a) => forms.map((b): [Form, Form] => [a, b]));

describe('equal values', () => {
  it.each(pairs.filter(([a, b]) => !(a !== b && [a, b].includes('implicit') && [a, b].includes('big'))))(
    'of %s and %s do not differ',
    (a, b) => {
      expect(compareDataSets(dataSet(a), dataSet(b, { undefinedLength: true }))).toEqual([]);
    },
  );

  it('with other padding, group lengths or trailing padding do not differ', () => {
    const padded = parseDataSet(element('00100010', 'PN', 'Anna '), SYNTAX.explicit);
    const bare = parseDataSet(
      Buffer.concat([
        element('00100000', 'UL', Buffer.alloc(4)),
        element('00100010', 'PN', 'Anna'),
        element('FFFCFFFC', 'OB', Buffer.alloc(2)),
      ]),
      SYNTAX.explicit,
    );
    expect(compareDataSets(padded, bare)).toEqual([]);
  });
});

describe('other values', () => {
  it.each(pairs.filter(([a, b]) => a === b || (a === 'explicit' && b !== 'explicit')))(
    'of %s and %s are named, without a value',
    (a, b) => {
      const found = compareDataSets(dataSet(a), dataSet(b, { name: 'Secret^Name', rows: 2 }));
      expect(found).toEqual([
        { tag: '00100010', keyword: 'PatientName', vr: 'PN', what: 'changed' },
        { tag: '00280010', keyword: 'Rows', vr: 'US', what: 'changed' },
      ]);
      expect(JSON.stringify(found)).not.toContain('Secret');
    },
  );

  it('in a sequence are named with their place; another number of items is the sequence itself', () => {
    expect(compareDataSets(dataSet('explicit'), dataSet('explicit', { inner: '1.3 ' }))).toEqual(
      [0, 1].map((item) => ({
        tag: '00081155',
        keyword: 'ReferencedSOPInstanceUID',
        vr: 'UI',
        what: 'changed',
        within: `00081140/${item}`,
      })),
    );
    expect(compareDataSets(dataSet('explicit'), dataSet('implicit', { items: 1 }))).toEqual([
      { tag: '00081140', keyword: 'ReferencedImageSequence', vr: 'SQ', what: 'changed' },
    ]);
  });

  it('that one of the two has are added or removed', () => {
    const more = dataSet('explicit', { more: [element('00100020', 'LO', 'P1')] });
    const difference = { tag: '00100020', keyword: 'PatientID', vr: 'LO' };
    expect(compareDataSets(dataSet('explicit'), more)).toEqual([{ ...difference, what: 'added' }]);
    expect(compareDataSets(more, dataSet('explicit'))).toEqual([{ ...difference, what: 'removed' }]);
  });

  it('of a private sequence that Implicit VR hides are found', () => {
    const other = element('00091011', 'LO', 'AC', { implicit: true });
    const hidden = parseDataSet(
      Buffer.concat([
        element('00090010', 'LO', 'MAKER ', { implicit: true }),
        sequence('00091010', [other], { implicit: true }),
      ]),
      SYNTAX.implicit,
    );
    const plain = parseDataSet(
      Buffer.concat([
        element('00090010', 'LO', 'MAKER '),
        sequence('00091010', [element('00091011', 'LO', 'AB')]),
      ]),
      SYNTAX.explicit,
    );
    expect(compareDataSets(plain, hidden)).toMatchObject([{ tag: '00091011', within: '00091010/0' }]);
  });

  it('are counted no further than asked', () => {
    const many = (value: string): DataSet =>
      parseDataSet(
        Buffer.concat(
          Array.from({ length: 40 }, (_, n) => element(`002000${(16 + n).toString(16)}`, 'LO', value)),
        ),
        SYNTAX.explicit,
      );
    expect(compareDataSets(many('AA'), many('BB'), 10)).toHaveLength(10);
  });
});
