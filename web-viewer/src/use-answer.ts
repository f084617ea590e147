/**
 * What the archive answered, as it stands now: still asking, answered, or failed with a sentence.
 * Called by the pages around the calls of dicomweb.ts. An answer that nobody waits for any more is aborted.
 */
import { useCallback, useEffect, useState } from 'react';
import { ArchiveError } from './dicomweb.ts';

/** `previous` is the answer to the question before, to be shown faded meanwhile. */
export type Answer<T> =
  | { state: 'asking'; previous: T | undefined }
  | { state: 'answered'; value: T }
  | { state: 'failed'; sentence: string };

/** Asks again whenever `key` changes. `retry` asks the same again. */
export function useAnswer<T>(
  key: string,
  ask: (signal: AbortSignal) => Promise<T>,
): { answer: Answer<T>; retry: () => void } {
  const [attempt, setAttempt] = useState(0);
  const [held, setHeld] = useState<{ key: string; answer: Answer<T> }>({
    key,
    answer: { state: 'asking', previous: undefined },
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: `key` says all that `ask` depends on; `attempt` repeats it.
  useEffect(() => {
    const controller = new AbortController();
    setHeld((before) => ({ key, answer: { state: 'asking', previous: lastValue(before.answer) } }));
    ask(controller.signal).then(
      (value) => {
        if (!controller.signal.aborted) setHeld({ key, answer: { state: 'answered', value } });
      },
      (error: unknown) => {
        if (!controller.signal.aborted)
          setHeld({ key, answer: { state: 'failed', sentence: sentenceOf(error) } });
      },
    );
    return () => controller.abort();
  }, [key, attempt]);
  const retry = useCallback(() => setAttempt((n) => n + 1), []);
  return {
    answer: held.key === key ? held.answer : { state: 'asking', previous: lastValue(held.answer) },
    retry,
  };
}

function lastValue<T>(answer: Answer<T>): T | undefined {
  if (answer.state === 'answered') return answer.value;
  return answer.state === 'asking' ? answer.previous : undefined;
}

function sentenceOf(error: unknown): string {
  if (error instanceof ArchiveError) return error.message;
  // Not an answer of the archive but a fault of the viewer: the console has to tell it to whoever mends it.
  reportError(error);
  return 'The viewer could not make sense of this. Reload the page, and tell the administrator if it stays so.';
}
