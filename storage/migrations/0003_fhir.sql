-- What the EHR is owed: one link per study, and the Endpoint that the linked studies point to.
-- Owner: src/fhir. Claims are leases; a fencing token is checked by every write of an outcome.

create table fhir_link (
  study_uid        text primary key,
  -- waiting: due, or to be tried again; linked; unlinked: no patient yet; parked: a person must look.
  state            text not null default 'waiting' check (state in ('waiting', 'linked', 'unlinked', 'parked')),
  state_since      timestamptz not null default now(),
  -- How often the feed or a person asked for this link: one that came during a try is not lost.
  asked            bigint not null default 1,
  -- What the EHR was told last: the study's version, the resource and its version there, and our content's hash.
  study_version    bigint,
  server           text,            -- base URL
  resource_id      text,
  version_id       text,
  content_hash     bytea,
  -- In words, without patient data, why it is not linked.
  reason           text,
  attempts         integer not null default 0,
  next_attempt_at  timestamptz default now(),   -- null: nothing is due
  lease_owner      text,
  lease_token      bigint not null default 0,
  lease_until      timestamptz,
  created_at       timestamptz not null default now(),
  changed_at       timestamptz not null default now()
);
create index fhir_link_due on fhir_link (next_attempt_at) where next_attempt_at is not null;
create index fhir_link_open on fhir_link (state_since, study_uid) where state <> 'linked';

-- Our DICOMweb service as each FHIR server knows it. The key stays when our address changes.
create table fhir_endpoint (
  server       text primary key,
  key          uuid not null default gen_random_uuid(),
  resource_id  text,
  address      text,
  changed_at   timestamptz not null default now()
);
