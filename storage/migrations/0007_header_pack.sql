-- What /metadata says of each object, ready to be sent: a function of the object's bytes alone, made when it is placed
-- (src/archive/header-piece.ts says what stands in a piece). Several pieces of a series stand in one pack.
create table header_pack (
  id     bigint generated always as identity primary key,
  bytes  bytea not null
);
-- The pieces are compressed already.
alter table header_pack alter column bytes set storage external;
-- Where the object's piece lies; null where none is kept (made when asked for), and of objects from before.
alter table object
  add column pack        bigint,
  add column pack_at     integer,
  add column pack_length integer;
