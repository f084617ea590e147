/**
 * Private attributes by who reserved them (PS3.5 7.8.1): their place in a data set moves with the block that the creator
 * got there. Written as DCMTK writes them, (0019,"SIEMENS MR HEADER",0C): group, creator, element within its block.
 * Named by rules (routing/subject.ts, transform/edit-attributes.ts), found in whatever holds elements by tag.
 */
export interface PrivateTag {
  /** Four hex digits, an odd number. */
  readonly group: string;
  readonly creator: string;
  /** Two hex digits. */
  readonly element: string;
}

/** (0019,1002) with xx, or the last two digits alone; quotes around the creator may be left out. */
const FORM = /^\(([0-9A-F]{4}),\s*("?)([^"\\]{1,64})\2\s*,\s*(?:xx)?([0-9A-F]{2})\)$/i;

/** @returns undefined when the text has another form, or its group is none that is private */
export function privateTag(text: string): PrivateTag | undefined {
  const [, group = '', , creator = '', element = ''] = FORM.exec(text) ?? [];
  if (creator.trim() === '' || !isPrivateGroup(group)) return undefined;
  return { group: group.toUpperCase(), creator: creator.trim(), element: element.toUpperCase() };
}

export function privateTagText({ group, creator, element }: PrivateTag): string {
  return `(${group},"${creator}",${element})`;
}

/** Odd, and none of those that PS3.5 7.8 forbids. */
export function isPrivateGroup(group: string): boolean {
  const number = Number.parseInt(group, 16);
  return number % 2 === 1 && number > 0x0007 && number < 0xffff;
}

/**
 * Where it stands in a data set: one tag for each block that the creator has there.
 * @param tags of the data set's elements
 * @param creatorAt the text of a (gggg,0010) to (gggg,00FF) PrivateCreator
 */
export function placesOf(
  { group, creator, element }: PrivateTag,
  tags: Iterable<string>,
  creatorAt: (tag: string) => string | undefined,
): string[] {
  const places: string[] = [];
  for (const tag of tags)
    if (tag.startsWith(`${group}00`) && tag >= `${group}0010` && creatorAt(tag)?.trim() === creator)
      places.push(`${group}${tag.slice(6)}${element}`);
  return places;
}

/** The parts of a path of keywords, tags and private attributes, parted by dots; a creator may have dots in its name. */
export function pathParts(text: string): string[] {
  return text.split(/\.(?![^(]*\))/);
}
