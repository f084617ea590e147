-- Searches that 0008 left slow on a million studies: beginnings of names that many have, birth dates, parts of texts.
-- Owner: src/archive; find-studies.ts reads it.

-- With what the order of answers needs, so that a name that thousands have is sorted without reading their rows.
drop index study_key_alphabetic;
drop index study_key_ideographic;
drop index study_key_phonetic;
create index study_key_alphabetic on study_key (name_alphabetic) include (study_date, study_time, study)
  where name_alphabetic is not null;
create index study_key_ideographic on study_key (name_ideographic) include (study_date, study_time, study)
  where name_ideographic is not null;
create index study_key_phonetic on study_key (name_phonetic) include (study_date, study_time, study)
  where name_phonetic is not null;

create index study_key_birth on study_key (birth_date) where birth_date <> '';

-- How often a beginning stands in names is told from a sample of them.
alter table study_key alter column name_alphabetic set statistics 1000;

-- Parts of texts (`*SON*`), as viewers write them around whatever a person types, and the keys that have no index of
-- their own. New rows stand in a list first, which every search reads: it is kept short.
do $$ begin
  create extension if not exists pg_trgm;
  create index study_key_parts on study_key using gin (
    patient_id gin_trgm_ops, accession_number gin_trgm_ops, study_id gin_trgm_ops, description gin_trgm_ops,
    referrer gin_trgm_ops, name_alphabetic gin_trgm_ops, name_ideographic gin_trgm_ops, name_phonetic gin_trgm_ops)
    with (fastupdate = on, gin_pending_list_limit = 256);
exception when feature_not_supported or undefined_file or insufficient_privilege or undefined_object then
  -- A Postgres of the site's own may not have it: such searches read all of study_key there.
  raise warning 'pg_trgm cannot be made in this database (%): searches for parts of texts are slow', sqlstate;
end $$;

analyze study_key;
