-- Folders and groups as destinations, windows, a send rate, and through which member of a group something went.
-- Owner: src/routing.

alter table destination drop constraint destination_kind_check;
alter table destination add constraint destination_kind_check check (kind in ('dimse', 'stow', 'folder', 'group'));
-- Outside its windows: when the next one opens, as routing/claim.ts last found. The windows themselves are the truth.
alter table destination add column opens_at timestamptz;

-- When the next instance, or the next bytes, may leave for a destination with a send rate, over all processes.
create table send_pace (
  destination  text not null references destination on delete cascade,
  what         text not null check (what in ('instances', 'bytes')),
  free_at      timestamptz not null,
  primary key (destination, what)
);

-- The member of a group that a delivery is sent, or was last sent, through; and that took or refused an instance.
alter table delivery add column via text;
alter table delivery_instance add column via text;

drop index delivery_sending;
create index delivery_sending on delivery ((coalesce(via, destination))) where state = 'sending';
create index delivery_lease on delivery (lease_until) where state = 'sending';
-- A page of one destination's deliveries, also when others have a million.
create index delivery_of_destination on delivery (destination, id);

-- How a debt can leave: by its destination itself, or by the members of a group in their order (rank).
create view lane as
select d.name as owner, d.served_at, m.name as via, way.rank, m.faults,
  coalesce((m.settings ->> 'maxAssociations')::integer, 1) as associations,
  greatest(coalesce(m.down_until, '-infinity'), coalesce(m.opens_at, '-infinity')) as up_at
from destination d
cross join lateral (
  select d.name as member, 0::bigint as rank where d.kind <> 'group'
  union all
  select member, rank from jsonb_array_elements_text(d.settings -> 'members') with ordinality as each (member, rank)
  where d.kind = 'group') way
join destination m on m.name = way.member
where d.enabled and m.enabled;

-- Bytes that leave for a folder are disclosed, too. Rows that are there were checked when they were written.
alter table disclosure drop constraint disclosure_channel_check;
alter table disclosure add constraint disclosure_channel_check
  check (channel in ('qido', 'wado', 'rendered', 'original', 'dimse', 'stow', 'folder', 'fhir', 'api')) not valid;
