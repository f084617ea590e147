-- Few rows of large tables are found by an index of their own. Owner of study: src/archive; of delivery: src/routing.

-- What was received lately, for the try-out of rules over the last days.
create index study_received on study (last_received_at) include (id);

-- Held studies. Each claim of a delivery asks whether its study is one, and the planner may ask all of them at once.
create index study_held on study (study_uid) where held is not null;

-- Every delivery leaves the index of what is due once at least, and a claim walks over what vacuum has not taken away.
alter table delivery set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
