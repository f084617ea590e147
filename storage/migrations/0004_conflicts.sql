-- The same UID again: versions of an instance, what is still to be compared, what a person decided, what is to be removed.
-- Owner: src/archive (conflict.ts, compare-versions.ts, settle-conflict.ts).

-- undecided: other bytes in another transfer syntax, not compared yet. variant: the same values, encoded otherwise.
-- conflict: other content. replaced: was current before another version took its place.
alter table object drop constraint object_role_check;
alter table object add constraint object_role_check
  check (role in ('current', 'variant', 'conflict', 'undecided', 'replaced'));
-- Where the object itself says it belongs: a version may claim another series than the instance stands in.
alter table object add column study_uid text;
alter table object add column series_uid text;
alter table object add column patient_id text;
alter table object add column issuer text;
update object o set study_uid = s.study_uid, series_uid = e.series_uid
  from instance i join series e on e.id = i.series join study s on s.id = e.study where i.object = o.id;
update object o set study_uid = c.study_uid, series_uid = c.series_uid
  from conflict c where c.object = o.id and o.study_uid is null;
-- Whose it is can be told of those that never contradicted their study.
update object o set patient_id = s.patient_id, issuer = s.issuer
  from study s where s.study_uid = o.study_uid and o.role = 'current'
    and not exists (select 1 from conflict c where c.object = o.id and c.kind = 'patient');

alter table conflict add column content_hash bytea;        -- of the version that came; stays when that is dropped
alter table conflict add column against bytea;             -- content hash of the version that was current then
alter table conflict add column other_study_uid text;      -- where the UID stood before
alter table conflict add column settlement text
  check (settlement in ('kept', 'made-current', 'dropped', 'released', 'set-aside', 'variant', 'replaced'));
-- [{tag, keyword, vr, what}], never a value; null until compared, or when that was impossible (then `compared` says why).
alter table conflict add column difference jsonb;
alter table conflict add column compared text;
update conflict c set content_hash = o.content_hash from object o where o.id = c.object;
update conflict set settlement = 'released' where settled_at is not null;
create index conflict_sop on conflict (sop_uid);

-- Versions whose content is still to be compared with the current one: a queue that survives restarts.
create table comparison (
  object     bigint primary key references object on delete cascade,
  -- Its sender was not answered yet (CONFLICT_POLICY=refuse): other content is not kept.
  refusable  boolean not null default false,
  due_at     timestamptz not null default now(),
  attempts   integer not null default 0,
  node       text                               -- who compares it now, until due_at
);
create index comparison_due on comparison (due_at);

-- What a person said of another patient's objects in a study: they belong to it, or are kept apart from it.
create table patient_decision (
  study_uid   text not null,
  patient_id  text not null,
  issuer      text not null,
  together    boolean not null,
  decided_by  text not null,
  decided_at  timestamptz not null default now(),
  primary key (study_uid, patient_id, issuer)
);

-- Bytes a person dropped: the row is gone, the store's object follows, also after a crash between the two.
create table removal (
  key         text primary key,
  study_uid   text not null,
  sop_uid     text not null,
  dropped_by  text not null,
  dropped_at  timestamptz not null default now()
);

alter table change drop constraint change_kind_check;
alter table change add constraint change_kind_check check (kind in ('instance-stored', 'instance-replaced',
  'instance-removed', 'conflict-settled', 'study-stable', 'study-held', 'study-released'));
