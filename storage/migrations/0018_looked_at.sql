-- What may show text that names the patient waits until a person has looked at it. Who looked, when and why it goes all
-- the same stays on record, and holds for that object in that form, to whichever destination. Owner: src/routing.
create table looked_at (
  form          text not null,              -- of delivery_form; kept when that goes
  sop_uid       text not null,
  content_hash  bytea not null,
  study_uid     text not null,
  at            timestamptz not null default now(),
  by            text not null,
  why           text not null,
  primary key (form, sop_uid, content_hash)
);
create index looked_at_study on looked_at (study_uid);

alter table delivery_instance
  add column to_look boolean not null default false;   -- it failed because nobody has looked yet
create index delivery_instance_to_look on delivery_instance (delivery) where to_look;
