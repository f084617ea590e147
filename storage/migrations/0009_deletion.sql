-- Deletion by DICOMweb (DELETE of a study, series or instance). Owner: src/archive.
-- That something was there and was deleted is told by the change feed, which keeps its UIDs.
alter table change drop constraint change_kind_check;
alter table change add constraint change_kind_check check (kind in ('instance-stored', 'instance-replaced',
  'instance-removed', 'instance-deleted', 'conflict-settled', 'study-stable', 'study-held', 'study-released',
  'study-deleted'));

-- Who deleted what: one row for each step of a deletion, with the instances that went in it. Append-only.
create table deletion (
  id          bigint generated always as identity primary key,
  at          timestamptz not null default now(),
  deleted_by  text not null,
  address     text,
  -- What was asked for.
  study_uid   text not null,
  series_uid  text,
  sop_uid     text,
  instances   integer not null
);
create index deletion_study on deletion (study_uid);
create trigger deletion_append_only before update or delete on deletion
  for each row execute function refuse_change();
create trigger deletion_no_truncate before truncate on deletion
  for each statement execute function refuse_change();
