-- The matching keys of studies (PS3.4 C.6.2.1), apart from the studies themselves: a narrow row that changes only when
-- a key does, so that what searches need is small, in order, and no burden on the receiving of a study's instances.
-- Owner: src/archive. The trigger below is its only writer; find-studies.ts reads it.

-- Words of all three representations of the patient's name (dicom/person-name.ts), for fuzzy matching.
alter table study add column name_words text[] not null default '{}';

-- From now on the representations of patient_name and referrer are parted by "=". Rows of before had a space there,
-- which matters for those with more than one; `npx isocenter reindex` folds these as new ones are.
update study set patient_name = rtrim(concat_ws('=',
    lower(btrim(regexp_replace(coalesce(attributes #>> '{00100010,Value,0,Alphabetic}', ''), '[\^\s]+', ' ', 'g'))),
    lower(btrim(regexp_replace(coalesce(attributes #>> '{00100010,Value,0,Ideographic}', ''), '[\^\s]+', ' ', 'g'))),
    lower(btrim(regexp_replace(coalesce(attributes #>> '{00100010,Value,0,Phonetic}', ''), '[\^\s]+', ' ', 'g')))), '=')
  where attributes #> '{00100010,Value,0}' ?| '{Ideographic,Phonetic}';
update study set name_words = array_remove(regexp_split_to_array(patient_name, '[-=''., ]+'), '');

-- Byte order throughout: what a prefix or a range of dates needs, whatever the database's own collation is.
create table study_key (
  study             bigint primary key references study on delete cascade,
  patient_id        text collate "C" not null,
  issuer            text collate "C" not null,
  accession_number  text collate "C" not null,
  study_id          text collate "C" not null,
  study_date        text collate "C" not null,
  study_time        text collate "C" not null,
  birth_date        text collate "C" not null,
  -- Folded representations of the patient's name, as much of them as an index takes; null where there is none.
  name_alphabetic   text collate "C",
  name_ideographic  text collate "C",
  name_phonetic     text collate "C",
  name_words        tsvector not null,
  referrer          text collate "C" not null,
  description       text collate "C" not null,
  modalities        text[] not null
);

-- One row for each of a study's modalities, in the order of answers: the newest studies of a modality are its end.
create table study_modality (
  modality    text collate "C" not null,
  study_date  text collate "C" not null,
  study_time  text collate "C" not null,
  study       bigint not null,
  primary key (modality, study_date, study_time, study)
);

create function study_key_follows() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    delete from study_modality where modality = any(old.modalities)
      and study_date = old.study_date and study_time = old.study_time and study = old.id;
  end if;
  if tg_op = 'DELETE' then
    return null;
  end if;
  if new.instance_count <= 0 then
    delete from study_key where study = new.id;
    return null;
  end if;
  insert into study_modality
    select distinct m, new.study_date, new.study_time, new.id from unnest(new.modalities) m;
  insert into study_key values (new.id, new.patient_id, new.issuer, new.accession_number, new.study_id,
    new.study_date, new.study_time, new.birth_date, nullif(left(split_part(new.patient_name, '=', 1), 256), ''),
    nullif(left(split_part(new.patient_name, '=', 2), 256), ''), nullif(left(split_part(new.patient_name, '=', 3), 256), ''),
    array_to_tsvector(new.name_words), new.referrer, new.description, new.modalities)
  on conflict (study) do update set patient_id = excluded.patient_id, issuer = excluded.issuer,
    accession_number = excluded.accession_number, study_id = excluded.study_id, study_date = excluded.study_date,
    study_time = excluded.study_time, birth_date = excluded.birth_date, name_alphabetic = excluded.name_alphabetic,
    name_ideographic = excluded.name_ideographic, name_phonetic = excluded.name_phonetic,
    name_words = excluded.name_words, referrer = excluded.referrer, description = excluded.description,
    modalities = excluded.modalities;
  return null;
end $$;

-- A study all of whose instances a person has moved or set aside keeps its row, and is nothing to be found.
create trigger study_key_of_new after insert on study for each row
  when (new.instance_count > 0) execute function study_key_follows();
-- Most updates of a study count an instance, and change no key.
create trigger study_key_of_changed after update on study for each row
  when ((new.instance_count > 0) is distinct from (old.instance_count > 0)
    or row(new.patient_id, new.issuer, new.accession_number, new.study_id, new.study_date, new.study_time,
           new.birth_date, new.patient_name, new.name_words, new.referrer, new.description, new.modalities)
       is distinct from
       row(old.patient_id, old.issuer, old.accession_number, old.study_id, old.study_date, old.study_time,
           old.birth_date, old.patient_name, old.name_words, old.referrer, old.description, old.modalities))
  execute function study_key_follows();
-- Its study_key goes by the foreign key.
create trigger study_key_of_deleted after delete on study for each row execute function study_key_follows();

insert into study_key
  select id, patient_id, issuer, accession_number, study_id, study_date, study_time, birth_date,
    nullif(left(split_part(patient_name, '=', 1), 256), ''), nullif(left(split_part(patient_name, '=', 2), 256), ''),
    nullif(left(split_part(patient_name, '=', 3), 256), ''), array_to_tsvector(name_words), referrer, description, modalities
  from study where instance_count > 0;
insert into study_modality
  select distinct m, study_date, study_time, id from study, unnest(modalities) m where instance_count > 0;

-- The order of every answer: newest first.
create index study_key_recent on study_key (study_date desc, study_time desc, study desc);
create index study_key_patient on study_key (patient_id);
create index study_key_accession on study_key (accession_number) where accession_number <> '';
create index study_key_alphabetic on study_key (name_alphabetic) where name_alphabetic is not null;
create index study_key_ideographic on study_key (name_ideographic) where name_ideographic is not null;
create index study_key_phonetic on study_key (name_phonetic) where name_phonetic is not null;
-- Written at once: a list of what is still to be written would be read by every search.
create index study_key_words on study_key using gin (name_words) with (fastupdate = off);

-- How often a word stands in names decides between this index and the order of answers: the usual 100 words are few.
alter table study_key alter column name_words set statistics 1000;

-- Their work is done by study_key now.
drop index study_patient_id;
drop index study_accession;
drop index study_recent;

-- A name outside study_key, folded as dicom/person-name.ts folds but left decomposed (NFKD).
create function folded_name(name text) returns text language sql immutable strict parallel safe as $$
  select btrim(regexp_replace(translate(replace(replace(replace(
    lower(regexp_replace(normalize(name, NFKD), '[\u0300-\u036F]+', '', 'g')),
    'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'øłđð', 'oldd'), '[\^=\s]+', ' ', 'g'))
$$;

-- An offset from UTC, &ZZXX.
create function zone_shift(zone text) returns interval language sql immutable strict parallel safe as $$
  select (left(zone, 1) || '1')::int * make_interval(hours => substr(zone, 2, 2)::int, mins => substr(zone, 4, 2)::int)
$$;

-- A DT value (PS3.5 6.2), or a DA and a TM value one behind the other, as a moment in UTC; what is left out of it counts
-- as the earliest. Null for what is none. `zone` is that of a value that says none itself.
create function utc_moment(value text, zone text) returns timestamp language plpgsql immutable parallel safe as $$
declare
  part text[] := regexp_match(value, '^(\d{4})(?:(0[1-9]|1[0-2])(?:(0[1-9]|[12]\d|3[01])(?:([01]\d|2[0-3])(?:([0-5]\d)'
    '(?:([0-5]\d|60)(\.\d{1,6})?)?)?)?)?)?([-+]\d{4})?\s*$');
begin
  if part is null or part[1] = '0000' then
    return null;
  end if;
  return make_date(part[1]::int, coalesce(part[2], '1')::int, 1)
    + make_interval(days => coalesce(part[3], '1')::int - 1, hours => coalesce(part[4], '0')::int,
        mins => coalesce(part[5], '0')::int, secs => (coalesce(part[6], '0') || coalesce(part[7], ''))::double precision)
    - coalesce(zone_shift(coalesce(part[8], substring(zone from '^[-+]\d{4}$'))), interval '0');
end $$;

-- A date with its time as the clocks of `wanted` show it, YYYYMMDDHHMMSS.FFFFFF; as written when it cannot be told.
create function in_zone(day text, clock text, stored text, wanted text) returns text
  language sql immutable parallel safe as $$
  select case when day = '' or clock = '' or coalesce(stored, '') !~ '^[-+]\d{4}$' or stored = wanted then day || clock
    else coalesce(to_char(utc_moment(day || clock, stored) + zone_shift(wanted), 'YYYYMMDDHH24MISS.US'), day || clock) end
$$;
