-- Who may open a DICOM association: known AE titles with their address and certificate rules.
-- Owner: src/scp. Receivers hold a copy; a change is told by NOTIFY isocenter_aes.

create table known_ae (
  name        text primary key,
  ae_title    text not null,               -- several rows may share one: any of them that fits lets the caller in
  settings    jsonb not null,              -- validated by scp/known-ae.ts
  changed_at  timestamptz not null default now(),
  changed_by  text not null default ''
);
