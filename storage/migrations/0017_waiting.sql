-- A rule may ask a person to look first: what it owes waits until somebody releases it. While it waits it is held, as a
-- delivery of a study in conflict is.

alter table delivery
  add column waits boolean not null default false,  -- implies held
  add column released_at timestamptz,               -- late images of it do not wait again
  add column released_by text;
create index delivery_waiting on delivery (id) where waits;
