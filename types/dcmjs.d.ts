/** dcmjs ships no types; this is what src/cli/ct-slice.ts calls to write a data set. */
declare module 'dcmjs' {
  interface WriteBufferStream {
    getBuffer(): ArrayBuffer;
  }
  const dcmjs: {
    data: {
      WriteBufferStream: new () => WriteBufferStream;
      DicomMetaDictionary: {
        /** Keywords to tags; values take their VR from the dictionary, or from `_vrMap`. */
        denaturalizeDataset(dataSet: Record<string, unknown>): Record<string, unknown>;
      };
      DicomMessage: {
        write(
          dict: Record<string, unknown>,
          stream: WriteBufferStream,
          transferSyntaxUid: string,
          options: object,
        ): number;
      };
    };
    log: { setLevel(level: string): void };
  };
  export default dcmjs;
}
