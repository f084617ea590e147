/** dcmjs' generated data dictionary, imported alone so that a receiver thread does not load the rest of dcmjs. */
declare module 'dcmjs/dictionary' {
  interface DictionaryEntry {
    tag: string;
    vr?: string;
    name?: string;
    vm?: string;
    version?: string;
  }
  const dictionary: Record<string, DictionaryEntry>;
  export default dictionary;
}
