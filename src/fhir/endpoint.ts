/**
 * The FHIR Endpoint that says where a study's images are read: our DICOMweb service.
 * Called by link-endpoint.ts (for the EHR) and facade.ts (contained in what we answer).
 */
import type { Endpoint } from './resource.ts';

/**
 * @param publicUrl where we are reached, without a trailing slash; the address is the WADO-RS base, no `/studies`
 * @param key       a UUID that stays with this archive when its address changes
 */
export function toEndpoint(publicUrl: string, key?: string): Endpoint {
  return {
    resourceType: 'Endpoint',
    ...(key !== undefined && { identifier: [endpointIdentifier(key)] }),
    status: 'active',
    connectionType: {
      system: 'http://terminology.hl7.org/CodeSystem/endpoint-connection-type',
      code: 'dicom-wado-rs',
    },
    name: 'Isocenter DICOMweb',
    payloadType: [{ text: 'DICOM' }],
    payloadMimeType: ['application/dicom'],
    address: `${publicUrl}/dicom-web`,
  };
}

export function endpointIdentifier(key: string): { system: string; value: string } {
  return { system: 'urn:ietf:rfc:3986', value: `urn:uuid:${key}` };
}
