/**
 * Where somebody calls from: an IP address, or a range of them in CIDR form (RFC 4632, RFC 4291).
 * Of known AEs (scp/known-ae.ts), asked by scp/admission.ts for every association request; and of rules (SourceAddress).
 */
import { BlockList, isIP } from 'node:net';

interface Range {
  base: string;
  family: 'ipv4' | 'ipv6';
  prefix: number;
}

export function isAddressRange(text: string): boolean {
  return parse(text) !== undefined;
}

/** An address as it is compared and shown: a listener on :: sees IPv4 callers as ::ffff:10.0.0.5. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '');
}

/** @param ranges of an AE; an empty list means any address */
export function isWithin(address: string, ranges: readonly string[]): boolean {
  if (ranges.length === 0) return true;
  const caller = plainAddress(address);
  if (isIP(caller) === 0) return false;
  const list = new BlockList();
  for (const text of ranges) {
    const range = parse(text);
    if (range) list.addSubnet(range.base, range.prefix, range.family);
  }
  return list.check(caller, isIP(caller) === 4 ? 'ipv4' : 'ipv6');
}

function parse(text: string): Range | undefined {
  const [base = '', prefix, ...more] = plainAddress(text).split('/');
  const version = isIP(base);
  // A zone (fe80::1%eth0) names an interface of this machine, which no other node would understand.
  if (version === 0 || base.includes('%') || more.length > 0) return undefined;
  const bits = version === 4 ? 32 : 128;
  if (prefix !== undefined && !/^\d{1,3}$/.test(prefix)) return undefined;
  const length = prefix === undefined ? bits : Number(prefix);
  return length > bits ? undefined : { base, family: version === 4 ? 'ipv4' : 'ipv6', prefix: length };
}
