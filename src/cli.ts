#!/usr/bin/env node
/**
 * The command line: `npx isocenter start | send | echo | modality | migrate | reindex`.
 * Reads the words, runs the verb's module in src/cli, and says every fault in one sentence.
 */
import { enableCompileCache } from 'node:module';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { asFailure, Failure } from './failure.ts';

// Types are stripped and code is compiled once, not at every start; worker threads take it from the environment.
process.env.NODE_COMPILE_CACHE ??= path.join(
  import.meta.dirname,
  '..',
  'node_modules',
  '.cache',
  'isocenter',
);
enableCompileCache(process.env.NODE_COMPILE_CACHE);

const USAGE = `isocenter: receives DICOM studies, keeps them, shows them, passes them on

  isocenter start                          start the archive (README.md lists its settings)
  isocenter modality --ct 200 [--to AET@HOST:PORT] [--from AET]
                                           make a synthetic CT of 200 slices and send it
  isocenter send PATH... --to AET@HOST:PORT [--from AET] [--associations N]
                                           send DICOM files and folders, byte for byte
  isocenter echo AET@HOST:PORT [--from AET]
                                           ask a DICOM node whether it is there (C-ECHO)
  isocenter migrate                        bring the database up to date and stop
  isocenter reindex                        rebuild the index from the stored objects

--from is the AE title to call as: ISOCENTER, of the synthetic CT PHANTOM_CT, unless you say another.
`;

const [asked, ...words] = process.argv.slice(2);
/** `send --help` is a question too. */
const verb = words.some((word) => word === '--help' || word === '-h') ? 'help' : asked;

try {
  process.exitCode = await run(verb, words);
} catch (thrown) {
  const failure = asFailure(thrown);
  console.error(`isocenter: ${failure.message}`);
  if (failure.kind === 'internal' && thrown instanceof Error) console.error(thrown.stack);
  process.exitCode = failure.kind === 'invalid' ? 2 : 1;
}

async function run(verb: string | undefined, words: string[]): Promise<number> {
  switch (verb) {
    case 'start':
      return (await import('./cli/start.ts')).start();
    case 'migrate':
      return (await import('./cli/migrate.ts')).migrateOnly();
    case 'reindex':
      return (await import('./cli/reindex.ts')).reindex();
    case 'echo': {
      const { values, positionals } = parse(words, { from: { type: 'string' } });
      const [target] = positionals;
      if (target === undefined) throw new Failure('invalid', 'echo needs a node: AET@HOST:PORT');
      return (await import('./cli/echo.ts')).echo(target, { callingAeTitle: text(values.from) });
    }
    case 'send': {
      const { values, positionals } = parse(words, {
        to: { type: 'string' },
        from: { type: 'string' },
        associations: { type: 'string' },
      });
      const to = text(values.to);
      if (to === undefined) throw new Failure('invalid', 'send needs to know where: --to AET@HOST:PORT');
      return (await import('./cli/send.ts')).send(positionals, to, {
        callingAeTitle: text(values.from),
        associations: number(values.associations, '--associations'),
      });
    }
    case 'modality': {
      const { values } = parse(words, {
        ct: { type: 'string' },
        to: { type: 'string' },
        from: { type: 'string' },
        seed: { type: 'string' },
      });
      return (await import('./cli/modality.ts')).modality({
        ct: number(values.ct, '--ct') ?? 200,
        to: text(values.to),
        callingAeTitle: text(values.from),
        seed: text(values.seed),
      });
    }
    case undefined:
    case 'help':
    case '--help':
    case '-h':
      console.log(USAGE);
      return verb === undefined ? 2 : 0;
    default:
      throw new Failure('invalid', `there is no command "${verb}"; "isocenter help" lists them`);
  }
}

function parse(words: string[], options: NonNullable<Parameters<typeof parseArgs>[0]>['options']) {
  try {
    return parseArgs({ args: words, options: options ?? {}, allowPositionals: true });
  } catch (cause) {
    // Node adds advice that fits no verb here; its first sentence says what is wrong.
    const said = cause instanceof Error ? cause.message.replace(/\. To specify .*$/s, '') : String(cause);
    throw new Failure('invalid', `${said}; "isocenter help" shows what there is`, { cause });
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function number(value: unknown, option: string): number | undefined {
  if (value === undefined) return undefined;
  const parsed = Number(value);
  if (!Number.isFinite(parsed)) throw new Failure('invalid', `${option} takes a number`);
  return parsed;
}
