-- Storage commitment (PS3.4 Annex J), both ways.

-- As SCU: what we ask the peers of deliveries to commit to. Owner: src/routing. Reports may come hours later and to
-- another process than the one that asked, so who is meant by a transaction stands here before the N-ACTION leaves.
alter table delivery
  add column committing boolean not null default false;      -- owed is nothing but the peer's commitment
alter table delivery_instance
  add column commitment         text check (commitment in ('asked', 'committed', 'refused')),
  add column commitment_at      timestamptz,                 -- of the last request that the peer took, or of its report
  add column commitment_reason  integer,                     -- (0008,1197) FailureReason of the last report
  add column commitment_tries   smallint not null default 0, -- requests that the peer took
  add column commitment_resends smallint not null default 0; -- sent again because the peer said it is not there

create table commitment_transaction (
  transaction_uid  text primary key,
  delivery         bigint not null references delivery on delete cascade,
  instances        bigint[] not null,                        -- delivery_instance.id
  made_at          timestamptz not null default now(),
  asked_at         timestamptz,                              -- the peer answered the N-ACTION with Success
  reported_at      timestamptz                               -- of its first N-EVENT-REPORT
);
create index commitment_transaction_delivery on commitment_transaction (delivery);

-- As SCP: what others asked us to commit to, until they have our report. Owner: src/scp.
create table commitment_request (
  id               bigint generated always as identity primary key,
  transaction_uid  text not null,
  ae_title         text not null,                            -- who asked
  called_ae        text not null,
  address          text not null,
  instances        jsonb not null,                           -- [[SOP class, SOP instance], ...] as asked for
  asked_at         timestamptz not null default now(),
  state            text not null default 'deciding' check (state in ('deciding', 'reporting', 'reported', 'given-up')),
  decided_at       timestamptz,
  failed           jsonb,                                    -- [[SOP instance, FailureReason], ...]: not committed to
  tries            integer not null default 0,               -- attempts at the report
  next_try_at      timestamptz not null default now(),
  last_error       text,                                     -- a sentence without patient data
  reported_at      timestamptz,
  lease_owner      text,
  lease_token      bigint not null default 0,
  lease_until      timestamptz,
  unique (ae_title, transaction_uid)
);
create index commitment_request_due on commitment_request (next_try_at) where state in ('deciding', 'reporting');
create index commitment_request_done on commitment_request (asked_at) where state in ('reported', 'given-up');
