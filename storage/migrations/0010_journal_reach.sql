-- How far the index has taken what stands in a segment of a node's journal. A segment is read again after a crash, with
-- all that was indexed long ago; what has no row then, and stands before this, was deleted or dropped since.
-- Owner: src/archive (journal-reach.ts). One row for each file, whose nonce is another with each use.
create table journal_reach (
  node      text not null,
  path      text not null,
  nonce     text not null,
  -- Where in the file the last record that is indexed, or was set aside, ends.
  indexed   bigint not null,
  moved_at  timestamptz not null default now(),
  primary key (node, path)
) with (fillfactor = 50);
