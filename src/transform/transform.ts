/**
 * What a rule changes on the way out, as a list of actions done in their order, compiled to one edit of a header.
 * The rule's schema (routing/rule-transform.ts) gives the actions; forwarding/changed-object.ts does the edit.
 */
import { Failure } from '../failure.ts';
import { compileDeidentify, type DeidentifySettings } from './de-identify.ts';
import {
  coercePatient,
  type Edit,
  mapAttribute,
  type PatientSettings,
  prefixAttribute,
  removeAttribute,
  setAttribute,
  type Values,
} from './edit-attributes.ts';
import type { EditableDataSet, Value } from './editable-data-set.ts';
import { compileMasks, type Masking, type MaskSettings, type PlanMask } from './mask.ts';
import { compileTranscode, type Transcode, type TranscodeSettings } from './transcode.ts';

export type TransformAction =
  | { readonly set: Readonly<Record<string, Values>> }
  | { readonly remove: readonly string[] }
  | { readonly prefix: Readonly<Record<string, string>> }
  | {
      readonly map: {
        readonly attribute: string;
        readonly table: Readonly<Record<string, Value>>;
        readonly otherwise: 'keep' | 'empty';
      };
    }
  | { readonly patient: PatientSettings }
  | { readonly deidentify: DeidentifySettings }
  | { readonly mask: MaskSettings | readonly MaskSettings[] }
  | { readonly transcode: TranscodeSettings };

export type Transform = readonly TransformAction[];

export interface CompiledTransform {
  /** Names what is changed (routing/rule-transform.ts): the same again gives the same instance. */
  readonly form: string;
  /** In which transfer syntax it leaves, where the rule says so. */
  readonly transcode: Transcode | undefined;
  /** Undefined without masks. @param header of an object with pixels, as it is stored */
  readonly planMask: PlanMask | undefined;
  /**
   * In place.
   * @param masking what planMask gave
   * @param released a person has looked at the object and lets it go
   * @param unfollowed the transfer syntax of pixels whose comments nobody looks for (quiet-codestream.ts)
   * @throws Failure when the object cannot be sent so, with why; MayShowText when a person has to look first
   */
  edit(
    dataSet: EditableDataSet,
    seen?: { masking?: Masking | undefined; released?: boolean; unfollowed?: string | undefined },
  ): void;
  /** Nothing behind the pixels leaves: signatures, private elements, padding. */
  readonly endsAtPixels: boolean;
}

export function deidentifies(transform: Transform): boolean {
  return transform.some((action) => 'deidentify' in action);
}

/**
 * @param key of the pseudonyms; without it nothing that is to be de-identified passes the edit
 * @returns the edit, or every fault as a sentence that begins with the path
 */
export function compileTransform(
  transform: Transform,
  key?: string,
  form = '',
): CompiledTransform | { faults: string[] } {
  const faults: string[] = [];
  const edits: Edit[] = [];
  const take = (path: string, make: () => Edit): void => {
    try {
      edits.push(make());
    } catch (thrown) {
      if (!(thrown instanceof Failure)) throw thrown;
      faults.push(`${path}: ${thrown.message}`);
    }
  };
  let planMask: PlanMask | undefined;
  /** Its part in the header comes last, whatever is changed behind it. */
  const masked = (masks: MaskSettings | readonly MaskSettings[]): Edit => {
    if (planMask) throw new Failure('invalid', 'a transform has one "mask"; it may be a list of masks');
    planMask = compileMasks([masks].flat());
    return () => undefined;
  };
  let transcode: Transcode | undefined;
  /** What the header says of it is written when the pixels are made. */
  const transcoded = (settings: TranscodeSettings, index: number): Edit => {
    if (index !== transform.length - 1)
      throw new Failure('invalid', 'it is done last, so it stands last in the transform, and once');
    transcode = compileTranscode(settings);
    return () => undefined;
  };
  for (const [index, action] of transform.entries()) {
    const at = `transform.${index}`;
    if ('set' in action)
      // By name, because the order of a JSON object is not kept by the database.
      for (const [text, values] of sorted(action.set)) take(`${at}.set`, () => setAttribute(text, values));
    else if ('remove' in action)
      for (const text of action.remove) take(`${at}.remove`, () => removeAttribute(text));
    else if ('prefix' in action)
      for (const [text, prefix] of sorted(action.prefix))
        take(`${at}.prefix`, () => prefixAttribute(text, prefix));
    else if ('map' in action) {
      const { attribute, table, otherwise } = action.map;
      take(`${at}.map`, () => mapAttribute(attribute, table, otherwise));
    } else if ('patient' in action) take(`${at}.patient`, () => coercePatient(action.patient));
    else if ('deidentify' in action)
      take(`${at}.deidentify`, () => compileDeidentify(action.deidentify, key));
    else if ('mask' in action) take(`${at}.mask`, () => masked(action.mask));
    else take(`${at}.transcode`, () => transcoded(action.transcode, index));
  }
  if (faults.length > 0) return { faults };
  return {
    form,
    transcode,
    endsAtPixels: deidentifies(transform),
    planMask,
    edit(dataSet, { masking, released = false, unfollowed } = {}) {
      const circumstances = { isMasked: masking !== undefined, isReleased: released, unfollowed };
      for (const edit of edits) edit(dataSet, circumstances);
      masking?.say(dataSet);
    },
  };
}

function sorted<T>(record: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}
