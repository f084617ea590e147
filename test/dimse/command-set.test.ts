import { describe, expect, it } from 'vitest';
import { decodeCommandSet, encodeCommandSet } from '../../src/dimse/command-set.ts';
import { Failure } from '../../src/failure.ts';
import { CT, command, readCommand, storeCommand } from './raw-peer.ts';

describe('decodeCommandSet', () => {
  it('reads a C-STORE-RQ', () => {
    expect(decodeCommandSet(storeCommand(9))).toEqual({
      AffectedSOPClassUID: CT,
      CommandField: 1,
      MessageID: 9,
      Priority: 0,
      CommandDataSetType: 0,
      AffectedSOPInstanceUID: '1.2.3.4.5',
    });
  });

  it('passes over elements it does not know and trims padding', () => {
    expect(decodeCommandSet(command({ 20496: 'retired ', 4144: ' MOVER  ' }))).toEqual({
      MoveOriginatorApplicationEntityTitle: 'MOVER',
    });
  });

  it.each([
    ['an element cut short', storeCommand(1).subarray(0, -3), /length past its end/],
    ['a header cut short', storeCommand(1).subarray(0, 15), /inside an element header/],
    ['another group', Buffer.from([8, 0, 5, 0, 0, 0, 0, 0]), /group 0008/],
    ['a US of four bytes', Buffer.from([0, 0, 0, 1, 4, 0, 0, 0, 1, 0, 0, 0]), /\(0000,0100\) CommandField/],
    ['a length of 4 GB', Buffer.from([0, 0, 2, 0, 255, 255, 255, 255]), /length past its end/],
  ])('fails on %s', (_name, bytes, words) => {
    expect(() => decodeCommandSet(bytes)).toThrow(Failure);
    expect(() => decodeCommandSet(bytes)).toThrow(words);
  });
});

describe('encodeCommandSet', () => {
  it('writes the elements in tag order behind their length, padded as their VR asks', () => {
    const bytes = encodeCommandSet({
      Status: 0xa700,
      ErrorComment: 'odd',
      OffendingElement: ['(0020,000D)', '00080018'],
      AffectedSOPClassUID: '1.2.3',
      CommandField: 0x8001,
    });
    const elements = readCommand(bytes);
    expect(Object.keys(elements).map(Number)).toEqual([0, 2, 0x100, 0x900, 0x901, 0x902]);
    expect(elements[0]!.readUInt32LE(0)).toBe(bytes.length - 12);
    expect(elements[2]!.toString('latin1')).toBe('1.2.3\0');
    expect(elements[0x902]!.toString('latin1')).toBe('odd ');
    expect(elements[0x901]).toEqual(Buffer.from([0x20, 0, 0x0d, 0, 8, 0, 0x18, 0]));
    expect(decodeCommandSet(bytes).OffendingElement).toEqual(['(0020,000D)', '(0008,0018)']);
  });
});
