-- What is sent where and why: destinations, rules, their decisions, and the ledger of what is owed.
-- Owner: src/routing. Forwarding writes outcomes through src/routing/ledger.ts and never by itself.
-- Every time that decides is Postgres' clock.

create table destination (
  name          text primary key,
  kind          text not null check (kind in ('dimse', 'stow')),
  settings      jsonb not null,              -- validated by routing/destination.ts
  enabled       boolean not null default true,
  created_at    timestamptz not null default now(),
  changed_at    timestamptz not null default now(),
  changed_by    text not null default '',
  -- Its health, kept by the ledger: while it is down nothing for it is tried, however much is owed.
  served_at     timestamptz not null default 'epoch',
  faults        integer not null default 0,
  down_until    timestamptz,
  last_fault    text
);

create table rule (
  name        text primary key,
  version     integer not null,
  body        jsonb not null,                -- {when, at, send, priority, enabled}, validated by routing/rule.ts
  changed_at  timestamptz not null default now(),
  changed_by  text not null default ''
);

-- Every version a rule ever had; body is null where it was deleted. Versions go on counting after a deletion.
create table rule_version (
  rule        text not null,
  version     integer not null,
  body        jsonb,
  changed_at  timestamptz not null default now(),
  changed_by  text not null default '',
  primary key (rule, version)
);

-- Why a study (or series) went by a rule, or did not. Rules at 'instance' keep one counting row per study.
create table decision (
  id             bigint generated always as identity primary key,
  study_uid      text not null,
  study_version  bigint not null,
  unit           text not null default '',   -- '' the study (or its instances), otherwise the Series Instance UID
  rule           text not null,
  rule_version   integer not null,
  rule_at        text not null check (rule_at in ('instance', 'series-stable', 'study-stable')),
  matched        boolean not null,
  reason         text not null,              -- a sentence without patient data
  seen           integer not null default 0, -- instances looked at
  met            integer not null default 0, -- instances that met the condition, for rules at 'instance'
  at             timestamptz not null default now()
);
create unique index decision_once on decision (study_uid, rule, rule_version, unit, study_version)
  where rule_at <> 'instance';
create unique index decision_counting on decision (study_uid, rule, rule_version) where rule_at = 'instance';

-- Series that received something and are not yet known to be quiet (for rules at 'series-stable').
create table series_watch (
  study_uid   text not null,
  series_uid  text not null,
  stored_at   timestamptz not null default now(),
  primary key (study_uid, series_uid)
);
create index series_watch_stored on series_watch (stored_at);

-- One study owed to one destination in one form. `form` is '' for the bytes as stored; a transform will name its own.
create table delivery (
  id               bigint generated always as identity primary key,
  study_uid        text not null,
  destination      text not null,
  form             text not null default '',
  rules            text[] not null default '{}',
  priority         integer not null default 0, -- higher goes first
  state            text not null default 'owed'
                   check (state in ('owed', 'sending', 'delivered', 'parked', 'cancelled')),
  held             boolean not null default false, -- the study waits for a person
  attempts         integer not null default 0,
  faults           integer not null default 0,  -- transient ones since the last progress
  failing_since    timestamptz,
  next_attempt_at  timestamptz not null default now(),
  last_error       text,                        -- a sentence without patient data
  lease_owner      text,
  lease_token      bigint not null default 0,   -- the fencing token: moves with every claim
  lease_until      timestamptz,
  claimed_at       timestamptz,
  created_at       timestamptz not null default now(),
  changed_at       timestamptz not null default now(),
  delivered_at     timestamptz,
  unique (study_uid, destination, form)
);
create index delivery_due on delivery (destination, priority desc, id) where state = 'owed' and not held;
create index delivery_next on delivery (destination, next_attempt_at) where state = 'owed' and not held;
create index delivery_sending on delivery (destination) where state = 'sending';
create index delivery_by_state on delivery (state, id);

create table delivery_instance (
  id            bigint generated always as identity primary key,
  delivery      bigint not null references delivery on delete cascade,
  sop_uid       text not null,
  content_hash  bytea not null,
  object        bigint not null,              -- object.id: which stored bytes are owed
  state         text not null default 'owed' check (state in ('owed', 'delivered', 'warning', 'failed')),
  status        integer,                      -- the peer's DIMSE status, or STOW failure reason, or HTTP status
  comment       text,
  at            timestamptz,                  -- of the last outcome
  unique (delivery, sop_uid, content_hash)
);
create index delivery_instance_owed on delivery_instance (delivery, id) where state = 'owed';
