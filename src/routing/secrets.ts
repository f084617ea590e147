/**
 * Settings that are credentials: shown as "(kept)", and "(kept)" given back leaves them as they are.
 * Used by destination.ts, which knows where its secrets lie.
 */

export const HIDDEN = '(kept)';

/** Begins what is encrypted, in the database and nowhere else. */
export const SEALED = 'isocenter-sealed:1:';

/** By path, such as "tls.key". */
export type Secrets = ReadonlyMap<string, string>;

/** Settings with each secret replaced by what `change` makes of it. */
export type MapSecrets<Settings> = (
  settings: Settings,
  change: (path: string, value: string) => string,
) => Settings;

/** Every secret of the settings. */
export function secretsOf<Settings>(map: MapSecrets<Settings>, settings: Settings): Secrets {
  const found = new Map<string, string>();
  map(settings, (path, value) => {
    found.set(path, value);
    return value;
  });
  return found;
}

/**
 * The settings with what is to stay filled in.
 * @param known the secrets it has now, as far as they may be kept
 * @param why completes the fault where one cannot be kept
 */
export function withKept<Settings>(
  map: MapSecrets<Settings>,
  settings: Settings,
  known: Secrets,
  why: string,
  faults: string[],
): Settings {
  return map(settings, (path, value) => {
    if (value !== HIDDEN) return value;
    const kept = known.get(path);
    if (kept === undefined) faults.push(`${path}: ${why}`);
    return kept ?? '';
  });
}
