/**
 * The letters at the edges of a picture: which way of the patient each edge looks (PS3.3 C.7.6.1.1.1).
 * Pure; called by stage.ts with the camera's directions, or with Patient Orientation (0020,0020) of projections.
 */

export interface EdgeLetters {
  top: string;
  right: string;
  bottom: string;
  left: string;
}

/** A component this small (about 12 degrees) does not earn its letter. */
const SLIGHT = 0.2;
const OPPOSITE: Readonly<Record<string, string>> = { A: 'P', P: 'A', L: 'R', R: 'L', H: 'F', F: 'H' };

/** From two directions in patient coordinates (x to the left, y to the back, z to the head): screen right and down. */
export function lettersFromDirections(right: readonly number[], down: readonly number[]): EdgeLetters {
  return edges(lettersOf(right), lettersOf(down));
}

/** From Patient Orientation, whose first value names the right edge and whose second the bottom edge. */
export function lettersFromPatientOrientation(values: readonly string[]): EdgeLetters | undefined {
  const [right = '', bottom = ''] = values.map((value) => value.trim().toUpperCase());
  return /^[APLRHF]{1,3}$/.test(right) && /^[APLRHF]{1,3}$/.test(bottom) ? edges(right, bottom) : undefined;
}

function edges(right: string, bottom: string): EdgeLetters {
  return { right, bottom, left: opposite(right), top: opposite(bottom) };
}

function opposite(letters: string): string {
  return [...letters].map((letter) => OPPOSITE[letter] ?? '').join('');
}

/** The letters of one direction, the strongest first, two at most. */
function lettersOf(direction: readonly number[]): string {
  const [x = 0, y = 0, z = 0] = direction;
  return [
    { letter: x < 0 ? 'R' : 'L', size: Math.abs(x) },
    { letter: y < 0 ? 'A' : 'P', size: Math.abs(y) },
    { letter: z < 0 ? 'F' : 'H', size: Math.abs(z) },
  ]
    .filter((component) => component.size > SLIGHT)
    .sort((a, b) => b.size - a.size)
    .slice(0, 2)
    .map((component) => component.letter)
    .join('');
}
