/**
 * How a Person Name (PS3.5 6.2.1.1) is written on the screen: 'FAMILY, Given Middle'.
 * Called by the study list and the viewport's corners.
 */

/** One component group, `Family^Given^Middle^Prefix^Suffix`, as people write it; '' when it is empty. */
export function formatPersonName(group: string): string {
  const [family = '', given = '', middle = '', prefix = '', suffix = ''] = group
    .split('^')
    .map((part) => part.trim());
  const rest = [prefix, given, middle, suffix].filter((part) => part !== '').join(' ');
  return [family.toUpperCase(), rest].filter((part) => part !== '').join(', ');
}

/** Both groups, the ideographic one as it is written by those who read it: family and given name without a comma. */
export function formatPersonNames(name: { alphabetic: string; ideographic: string }): string {
  const ideographic = name.ideographic
    .split('^')
    .filter((part) => part.trim() !== '')
    .join(' ');
  return [formatPersonName(name.alphabetic), ideographic].filter((part) => part !== '').join('  ');
}
