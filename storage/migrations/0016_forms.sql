-- What is changed on the way out. A delivery's form names it; kept as it was when the debt was written, so that a rule
-- can change without changing what is owed. Owner: src/routing.
create table delivery_form (
  form        text primary key,
  transform   jsonb not null,               -- validated by routing/rule-transform.ts
  created_at  timestamptz not null default now()
);

-- The SOP Instance UID that the peer got, where it is another than ours.
alter table delivery_instance add column sent_sop_uid text;
