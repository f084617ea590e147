/** dicom-character-set ships no types; this is the one function of it that src/dicom/charset.ts calls. */
declare module 'dicom-character-set' {
  /** Throws an Error on a term that is not of PS3.3 C.12.1.1.2 or an escape sequence that was not declared. */
  export function convertBytes(
    specificCharacterSet: string | undefined,
    bytes: Uint8Array,
    options?: { vr?: string },
  ): string;
}
