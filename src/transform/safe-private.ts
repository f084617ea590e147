/**
 * Which private attributes may stay (PS3.15 E.3.10, Retain Safe Private): those of Table E.3.10-1, those that the object
 * says are safe in its (0008,0300), and those that a rule lists. All others go. Asked by deidentification.ts.
 */
import { Failure } from '../failure.ts';
import type { EditableDataSet } from './editable-data-set.ts';
import { type PrivateKind, SAFE_PRIVATE_TABLE } from './safe-private-table.ts';

/** As PS3.15 writes them: "0019,xx0C" in the block of their creator. */
export interface PrivateElements {
  readonly creator: string;
  readonly elements: readonly string[];
}

export interface PrivateFate {
  readonly action: 'keep' | 'empty' | 'dummy' | 'uid';
  readonly kind: PrivateKind;
}

const CHARACTERISTICS = '00080300';
const [GROUP, CREATOR, STATUS, SAFE_ELEMENTS] = ['00080301', '00080302', '00080303', '00080304'];
const [ACTIONS, IDENTIFYING, ACTION] = ['00080305', '00080306', '00080307'];

/** What the object says of a block: of all of it, or of single elements. */
interface Block {
  readonly isSafe: boolean;
  readonly elements: ReadonlyMap<number, PrivateFate['action']>;
}

export class SafePrivate {
  readonly #known: ReadonlyMap<string, PrivateKind>;

  /** @throws Failure 'invalid' for elements that are not written as PS3.15 does */
  constructor(listed: readonly PrivateElements[] = []) {
    const known = new Map<string, PrivateKind>();
    // Whole pictures, files and raw data: nobody can say what stands in those of a site. A rule may list them.
    for (const { creator, group, element, kind } of SAFE_PRIVATE_TABLE)
      if (kind !== 'opaque') known.set(nameOf(creator, group, element), kind);
    for (const { creator, elements } of listed)
      for (const text of elements) {
        const [, group, element] = /^([0-9A-F]{4}),xx([0-9A-F]{2})$/i.exec(text) ?? [];
        if (group === undefined || element === undefined || Number.parseInt(group, 16) % 2 === 0)
          throw new Failure(
            'invalid',
            `"${text}" is no private element as PS3.15 writes them: "0019,xx0C", the group odd`,
          );
        const name = nameOf(creator, group, element);
        known.set(name, known.get(name) ?? 'value');
      }
    this.#known = known;
  }

  /** @returns by tag what becomes of the private attributes that may stay, their creators among them */
  fates(dataSet: EditableDataSet, said: ReadonlyMap<string, Block>): Map<string, PrivateFate> {
    const fates = new Map<string, PrivateFate>();
    for (const tag of dataSet.elements.keys()) {
      const creatorTag = creatorOf(tag);
      const creator = creatorTag && dataSet.text(creatorTag);
      if (!creatorTag || !creator) continue;
      const fate = this.#fate(creator, tag, said.get(`${tag.slice(0, 4)} ${creator}`));
      if (!fate) continue;
      fates.set(tag, fate);
      fates.set(creatorTag, { action: 'keep', kind: 'value' });
    }
    return fates;
  }

  #fate(creator: string, tag: string, block: Block | undefined): PrivateFate | undefined {
    const kind = this.#known.get(nameOf(creator, tag.slice(0, 4), tag.slice(6)));
    if (kind) return { action: 'keep', kind };
    const action = block?.elements.get(Number.parseInt(tag.slice(6), 16)) ?? (block?.isSafe && 'keep');
    return action ? { action, kind: 'value' } : undefined;
  }
}

/** (0008,0300) of the object (PS3.3 C.12.1), by group and private creator. */
export function saidOfBlocks(root: EditableDataSet): Map<string, Block> {
  const said = new Map<string, Block>();
  for (const item of root.items(CHARACTERISTICS)) {
    const [group] = numbers(item, GROUP!);
    if (group === undefined) continue;
    const elements = new Map<number, PrivateFate['action']>();
    for (const element of numbers(item, SAFE_ELEMENTS!)) elements.set(element, 'keep');
    for (const { items } of actionsOf(item))
      for (const [element, action] of items) elements.set(element, action);
    const name = `${group.toString(16).toUpperCase().padStart(4, '0')} ${item.text(CREATOR!)}`;
    said.set(name, { isSafe: item.text(STATUS!) === 'SAFE', elements });
  }
  return said;
}

const ACTION_WORDS: Readonly<Record<string, PrivateFate['action']>> = { D: 'dummy', Z: 'empty', U: 'uid' };

/** What is to be removed, or done in a way that is not known, is in no block that may stay. */
function* actionsOf(item: EditableDataSet): Generator<{ items: [number, PrivateFate['action']][] }> {
  for (const one of item.items(ACTIONS!)) {
    const action = ACTION_WORDS[one.text(ACTION!)];
    if (action) yield { items: numbers(one, IDENTIFYING!).map((element) => [element, action]) };
  }
}

/** The object's word of the blocks that are left, and nothing else of what it said of them. */
export function keepCharacteristics(root: EditableDataSet, blocks: ReadonlySet<string>): void {
  const said = saidOfBlocks(root);
  const items = root.items(CHARACTERISTICS).filter((item) => {
    const [group = 0] = numbers(item, GROUP!);
    const name = `${group.toString(16).toUpperCase().padStart(4, '0')} ${item.text(CREATOR!)}`;
    return said.has(name) && blocks.has(name);
  });
  if (items.length === 0) {
    root.remove(CHARACTERISTICS);
    return;
  }
  for (const item of items)
    for (const tag of item.elements.keys())
      if (![GROUP, CREATOR, STATUS, SAFE_ELEMENTS].includes(tag)) item.remove(tag);
  root.setItems(CHARACTERISTICS, items);
}

/** The tag of the private creator of a private data element (PS3.5 7.8.1); undefined for any other. */
export function creatorOf(tag: string): string | undefined {
  const block = tag.slice(4, 6);
  if (Number.parseInt(tag.slice(0, 4), 16) % 2 === 0 || Number.parseInt(block, 16) < 0x10) return undefined;
  return `${tag.slice(0, 4)}00${block}`;
}

function nameOf(creator: string, group: string, element: string): string {
  return `${creator.trim()}\0${group.toUpperCase()}\0${element.toUpperCase()}`;
}

/** Of a US attribute. */
function numbers(dataSet: EditableDataSet, tag: string): number[] {
  const { value = new Uint8Array(0) } = dataSet.elements.get(tag) ?? {};
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  return Array.from({ length: value.length >> 1 }, (_, index) => view.getUint16(index * 2, true));
}
