/**
 * Who gave out an identifier (a patient ID, an accession number), as FHIR's identifier system.
 * Called by the mapping and by the search for the patient. Only what names itself globally becomes a system:
 * a local name such as "HOSPITAL" needs the site's configuration, because a guess would join two patients.
 */
import { type DataSet, text } from './dicom-value.ts';
import { isOid } from './uid-identifier.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const ABSOLUTE_URI = /^(https?:\/\/|urn:[a-z0-9][a-z0-9-]{0,31}:)\S+$/i;

/** (0040,0032) UniversalEntityID with its type (0040,0033), PS3.3 Table 10-17, as a system. */
export function universalSystem(item: DataSet): string | undefined {
  return entitySystem(text(item, 'UniversalEntityID') ?? '', text(item, 'UniversalEntityIDType') ?? '');
}

/**
 * An issuer that is itself an OID, a URI, or HL7's "name&universal&type" (HL7 v2 HD).
 * @returns undefined for a local name
 */
export function issuerSystem(issuer: string): string | undefined {
  const parts = issuer.split('&').map((part) => part.trim());
  if (parts.length === 3) return entitySystem(parts[1] ?? '', parts[2] ?? '');
  if (isOid(issuer)) return `urn:oid:${issuer}`;
  return ABSOLUTE_URI.test(issuer) ? issuer : undefined;
}

function entitySystem(id: string, type: string): string | undefined {
  switch (type.toUpperCase()) {
    case 'ISO':
      return isOid(id) ? `urn:oid:${id}` : undefined;
    case 'UUID':
      return UUID.test(id) ? `urn:uuid:${id.toLowerCase()}` : undefined;
    case 'URI':
      return ABSOLUTE_URI.test(id) ? id : undefined;
    default:
      return undefined;
  }
}
