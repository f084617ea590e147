/**
 * Nothing is ever sent back to the AE, or the address, that it came from: who a destination is as a sender, and whether
 * an instance came from it. owe.ts asks in SQL, try-unit.ts and forwarding/owed-objects.ts of one instance at a time; a test
 * holds the two together.
 */
import { type PeerSettings, senderIdentity } from './destination.ts';

/** Who brought an object, as its row says. */
export interface Source {
  readonly kind: string;
  readonly aeTitle: string | null;
  readonly address: string | null;
}

export interface Senders {
  /** In capitals: one system is written in several ways, and no two differ in the case of their letters alone. */
  readonly aeTitles: readonly string[];
  readonly addresses: readonly string[];
}

/** What one member of a group has sent to us the group has. */
export function sendersOf(peers: readonly PeerSettings[]): Senders {
  const senders = peers.map(senderIdentity);
  return {
    aeTitles: senders.flatMap(({ aeTitle }) => aeTitle?.toUpperCase() ?? []),
    addresses: senders.flatMap(({ address }) => address ?? []),
  };
}

/** A condition on the row `o` of an object; the parameters are arrays of text. */
export function cameFromSql(aeTitles: string, addresses: string): string {
  return `((o.source_kind = 'dimse' and upper(o.source_ae) = any(${aeTitles}::text[]))
  or (o.source_kind = 'stow' and o.source_address = any(${addresses}::text[]))) is true`;
}

export function cameFrom({ aeTitles, addresses }: Senders, { kind, aeTitle, address }: Source): boolean {
  return (
    (kind === 'dimse' && aeTitle !== null && aeTitles.includes(aeTitle.toUpperCase())) ||
    (kind === 'stow' && address !== null && addresses.includes(address))
  );
}
