-- Refusals as an administrator reads them: the same fault of the same sender is one row with a count, so that a
-- modality gone mad fills a number and not the table. `fingerprint` is of the sender and the fault (archive/refusal.ts).
alter table refusal drop constraint refusal_what_check;
alter table refusal rename column at to first_at;
alter table refusal
  add constraint refusal_what check (what in ('association', 'context', 'operation', 'object', 'request', 'part')),
  add column code            text not null default 'internal',   -- closed set, src/dimse/refusal-code.ts
  add column last_at         timestamptz,
  add column times           bigint not null default 1,
  add column sop_class       text,
  add column transfer_syntax text,
  add column answer          text,                               -- what the sender was told, in the Standard's words
  add column cause           text,                               -- codes of the errors behind it, such as ENOSPC
  add column fingerprint     bytea;
update refusal set last_at = first_at, fingerprint = sha256(convert_to(id::text, 'UTF8'));
alter table refusal
  alter column code drop default,
  alter column last_at set not null,
  alter column fingerprint set not null,
  add constraint refusal_fingerprint unique (fingerprint);
drop index refusal_at;
create index refusal_last_at on refusal (last_at desc, id desc);
create index refusal_sender on refusal (address, last_at desc, id desc);
