-- The archive's tables: what was received, what it is, where its bytes lie, and what changed.
-- Owner: src/archive. Other rooms read; only the archive writes.

-- One row per running program. A node not seen for a minute counts as gone (its open receptions with it).
create table node (
  name     text primary key,
  seen_at  timestamptz not null default now()
);

-- A reception is one association or one STOW request that brought objects.
create table reception (
  id          uuid primary key,
  node        text not null,
  kind        text not null check (kind in ('dimse', 'stow', 'reindex')),
  calling_ae  text,
  called_ae   text,
  address     text,
  actor       text,
  opened_at   timestamptz not null default now(),
  closed_at   timestamptz,
  outcome     text check (outcome in ('released', 'aborted', 'lost', 'answered')),
  stored      integer not null default 0,
  refused     integer not null default 0
);
create index reception_open on reception (node) where closed_at is null;
create index reception_opened on reception (opened_at);

create table reception_study (
  study_uid  text not null,
  reception  uuid not null references reception on delete cascade,
  stored     integer not null default 0,
  primary key (study_uid, reception)
);
create index reception_study_reception on reception_study (reception);

-- A patient is ID plus issuer. A blank ID is anchored to its study, so that it never joins two studies.
create table patient (
  id          bigint generated always as identity primary key,
  patient_id  text not null,
  issuer      text not null default '',
  anchor      text not null default '',
  unique (patient_id, issuer, anchor)
);

create table study (
  id                bigint generated always as identity primary key,
  study_uid         text not null unique,
  patient           bigint not null references patient,
  -- DICOM JSON (PS3.18 F) of the patient and study level attributes.
  attributes        jsonb not null,
  -- Matching columns, derived from attributes by study-index.ts.
  patient_id        text not null default '',
  issuer            text not null default '',
  patient_name      text not null default '',  -- folded: lower case, no accents
  birth_date        text not null default '',
  accession_number  text not null default '',
  study_date        text not null default '',  -- YYYYMMDD
  study_time        text not null default '',  -- HHMMSS.FFFFFF, padded
  study_id          text not null default '',
  description       text not null default '',  -- folded
  referrer          text not null default '',  -- folded
  modalities        text[] not null default '{}',
  series_count      integer not null default 0,
  instance_count    integer not null default 0,
  -- version moves with every change of content; a study is stable while stable_version = version.
  version           bigint not null default 1,
  stable_version    bigint,
  stable_at         timestamptz,
  -- Why routing and the EHR must wait for a person, if they must.
  held              text,
  first_received_at timestamptz not null default now(),
  last_received_at  timestamptz not null default now()
);
create index study_patient on study (patient);
create index study_patient_id on study (patient_id, study_date desc);
create index study_accession on study (accession_number) where accession_number <> '';
create index study_recent on study (study_date desc, study_time desc, id desc);
create index study_unstable on study (last_received_at) where stable_version is distinct from version;

create table series (
  id              bigint generated always as identity primary key,
  study           bigint not null references study,
  series_uid      text not null,
  modality        text not null default '',
  number          integer,
  attributes      jsonb not null,
  instance_count  integer not null default 0,
  version         bigint not null default 1,
  unique (study, series_uid)
);
create index series_uid on series (series_uid);

-- One stored Part 10 file: immutable bytes under an immutable key.
create table object (
  id               bigint generated always as identity primary key,
  sop_uid          text not null,
  -- SHA-256 over the transfer syntax UID, a NUL and the data set as it came. "Same bytes" means same hash.
  content_hash     bytea not null,
  sop_class        text not null,
  transfer_syntax  text not null,
  length           bigint not null,          -- of the Part 10 file
  data_set_offset  integer not null,         -- where the data set begins in it
  pixel            jsonb,                    -- PixelLocation (dicom/header-scan.ts), offsets from the data set's start
  key              text not null,
  location         text not null check (location in ('journal', 'store')),
  node             text,                     -- with location = journal: whose journal
  journal          jsonb,                    -- with location = journal: {path, nonce, offset}
  role             text not null check (role in ('current', 'variant', 'conflict')),
  reception        uuid,
  source_kind      text not null,
  source_ae        text,
  source_address   text,
  received_at      timestamptz not null,
  unique (sop_uid, content_hash)
);
create index object_in_journal on object (node) where location = 'journal';

create table instance (
  id           bigint generated always as identity primary key,
  series       bigint not null references series,
  sop_uid      text not null unique,
  sop_class    text not null,
  number       integer,
  attributes   jsonb not null,
  object       bigint not null references object,
  stored_at    timestamptz not null default now()
);
create index instance_series on instance (series, number);
create index instance_object on instance (object);

-- What a person must look at. Identity conflicts hold the study; a content conflict is an alarm only.
create table conflict (
  id          bigint generated always as identity primary key,
  kind        text not null check (kind in ('content', 'patient', 'series-study', 'instance-series')),
  study_uid   text not null,
  series_uid  text,
  sop_uid     text not null,
  object      bigint references object,
  reason      text not null,
  source_ae   text,
  created_at  timestamptz not null default now(),
  settled_at  timestamptz,
  settled_by  text,
  unique (kind, study_uid, sop_uid, object)
);
create index conflict_open on conflict (study_uid) where settled_at is null;

-- The change feed. Sequences commit out of order, so followers read below the oldest running
-- transaction, ordered by (xid, id): nothing committed late is ever skipped.
create table change (
  id             bigint generated always as identity primary key,
  xid            xid8 not null default pg_current_xact_id(),
  at             timestamptz not null default now(),
  kind           text not null check (kind in ('instance-stored', 'study-stable', 'study-held', 'study-released')),
  study_uid      text not null,
  series_uid     text,
  sop_uid        text,
  study_version  bigint not null
);
create index change_order on change (xid, id);
create index change_study on change (study_uid, id);

create table follower (
  name        text primary key,
  xid         xid8 not null default '0',
  id          bigint not null default 0,
  moved_at    timestamptz not null default now()
);

-- What was refused, and why: the whole sentence that 64 characters of Error Comment cannot hold. Bounded by sweep.
create table refusal (
  id          bigint generated always as identity primary key,
  at          timestamptz not null default now(),
  what        text not null check (what in ('association', 'object', 'part')),
  calling_ae  text,
  called_ae   text,
  address     text,
  sop_uid     text,
  status      integer,
  reason      text not null
);
create index refusal_at on refusal (at);

-- What turned out wrong after Success: its bytes are under quarantine/, never in the bin.
create table quarantine (
  id         bigint generated always as identity primary key,
  at         timestamptz not null default now(),
  path       text not null unique,
  sop_uid    text,
  source_ae  text,
  reason     text not null
);

-- One row for every exit of patient data. Append-only.
create table disclosure (
  id           bigint generated always as identity primary key,
  at           timestamptz not null default now(),
  channel      text not null check (channel in ('qido', 'wado', 'rendered', 'original', 'dimse', 'stow', 'fhir', 'api')),
  recipient    text not null,      -- user, AE title or URL host: who received it
  address      text,
  study_uid    text,
  series_uid   text,
  sop_uid      text,
  instances    integer,
  detail       jsonb               -- UIDs, counts and names of destinations only
);
create index disclosure_at on disclosure (at);
create index disclosure_study on disclosure (study_uid) where study_uid is not null;

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end $$;
create trigger disclosure_append_only before update or delete on disclosure
  for each row execute function refuse_change();
create trigger disclosure_no_truncate before truncate on disclosure
  for each statement execute function refuse_change();
