/**
 * The search over the study list. What is typed is searched for once the typing pauses. Used by study-list.tsx.
 */
import { type FormEvent, useEffect, useId, useState } from 'react';
import { EVERYTHING, isEverything, type StudySearch, writeSearch } from './study-search.ts';

const PAUSE_MS = 300;
const MODALITIES = [
  'CR',
  'CT',
  'DX',
  'ES',
  'MG',
  'MR',
  'NM',
  'OT',
  'PT',
  'RF',
  'RTDOSE',
  'SC',
  'SM',
  'SR',
  'US',
  'XA',
];

interface SearchFormProps {
  search: StudySearch;
  onSearch: (search: StudySearch) => void;
}

export function SearchForm({ search, onSearch }: SearchFormProps) {
  const [draft, setDraft] = useState(search);
  const asked = writeSearch({ ...search, page: 0 });

  // The address changed under the form (back, a link): the form follows it.
  // biome-ignore lint/correctness/useExhaustiveDependencies: `asked` says all of `search` that the form shows.
  useEffect(() => setDraft(search), [asked]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the pause begins with each change of the draft, and only then.
  useEffect(() => {
    if (writeSearch({ ...draft, page: 0 }) === asked) return;
    const timer = setTimeout(() => onSearch(draft), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [draft]);

  function change(part: Partial<StudySearch>) {
    setDraft((before) => ({ ...before, ...part }));
  }

  function submit(event: FormEvent) {
    event.preventDefault();
    onSearch(draft);
  }

  const today = isoDay(0);
  return (
    <search>
      <form className="search-form" onSubmit={submit} aria-label="Search studies">
        <Field
          label="Patient name"
          wide
          value={draft.name}
          onChange={(name) => change({ name })}
          placeholder="Family, given"
        />
        <Field label="Patient ID" value={draft.id} onChange={(id) => change({ id })} />
        <Field label="Accession" value={draft.accession} onChange={(accession) => change({ accession })} />
        <Modality value={draft.modality} onChange={(modality) => change({ modality })} />
        <Field label="From" type="date" value={draft.from} onChange={(from) => change({ from })} />
        <Field label="To" type="date" value={draft.to} onChange={(to) => change({ to })} />
        <fieldset className="search-quick">
          <legend className="visually-hidden">Quick searches</legend>
          <QuickRange label="Today" from={today} draft={draft} onPick={change} />
          <QuickRange label="7 days" from={isoDay(-6)} draft={draft} onPick={change} />
          <button
            type="button"
            className="button"
            disabled={isEverything(draft)}
            onClick={() => {
              setDraft(EVERYTHING);
              onSearch(EVERYTHING);
            }}
          >
            Clear
          </button>
        </fieldset>
      </form>
    </search>
  );
}

interface FieldProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  type?: 'search' | 'date';
  placeholder?: string;
  wide?: boolean;
}

function Field({ label, value, onChange, type = 'search', placeholder, wide = false }: FieldProps) {
  const id = useId();
  return (
    <div className={wide ? 'field field-wide' : 'field'}>
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        className={value === '' ? 'input input-empty' : 'input'}
        type={type}
        value={value}
        placeholder={placeholder}
        autoComplete="off"
        spellCheck={false}
        onChange={(event) => onChange(event.target.value)}
      />
    </div>
  );
}

function Modality({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const id = useId();
  const choices = value !== '' && !MODALITIES.includes(value) ? [value, ...MODALITIES] : MODALITIES;
  return (
    <div className="field field-narrow">
      <label htmlFor={id}>Modality</label>
      <select
        id={id}
        className={value === '' ? 'input input-empty' : 'input'}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      >
        <option value="">Any</option>
        {choices.map((modality) => (
          <option key={modality}>{modality}</option>
        ))}
      </select>
    </div>
  );
}

interface QuickRangeProps {
  label: string;
  from: string;
  draft: StudySearch;
  onPick: (range: { from: string; to: string }) => void;
}

/** Pressed while its range is the one searched for; pressed again it opens the range. */
function QuickRange({ label, from, draft, onPick }: QuickRangeProps) {
  const chosen = draft.from === from && draft.to === '';
  return (
    <button
      type="button"
      className="button"
      aria-pressed={chosen}
      onClick={() => onPick({ from: chosen ? '' : from, to: '' })}
    >
      {label}
    </button>
  );
}

/** The day `offset` days from today as the person's own calendar has it, in ISO form. */
function isoDay(offset: number): string {
  const day = new Date();
  day.setDate(day.getDate() + offset);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${day.getFullYear()}-${two(day.getMonth() + 1)}-${two(day.getDate())}`;
}
