/**
 * A destination that is a folder, as people write it: below FOLDER_ROOT and nowhere else, since who may write settings
 * must not write all over the machine. For destination.ts; folder-scu.ts of forwarding writes there.
 */
import path from 'node:path';
import { z } from 'zod';
import { Failure } from '../failure.ts';
import { aeTitle } from './named-json.ts';
import { sendingSettings } from './sending-settings.ts';

const SEGMENT = /^[A-Za-z0-9_][A-Za-z0-9 ._-]{0,99}$/;

export const folderSettings = z.strictObject({
  kind: z.literal('folder'),
  path: z
    .string()
    .max(500)
    .refine(
      (text) => text.split('/').every((segment) => SEGMENT.test(segment)),
      'expected a path below FOLDER_ROOT such as research/ct: letters, digits, dots, hyphens, underscores, no leading dot',
    )
    .describe('Below FOLDER_ROOT. Files lie there as StudyUID/SeriesUID/SOPUID.dcm'),
  aeTitle: aeTitle
    .optional()
    .describe('The AE title of who reads it and also sends to us, if there is one: never sent back'),
  ...sendingSettings,
});

export type FolderSettings = z.infer<typeof folderSettings>;

/** @throws Failure 'invalid' when this archive has no FOLDER_ROOT */
export function folderPath(root: string | undefined, settings: FolderSettings): string {
  if (root === undefined)
    throw new Failure(
      'invalid',
      'The destination has a fault: kind: folders need the setting FOLDER_ROOT, the folder below which they lie',
    );
  return path.join(root, settings.path);
}
