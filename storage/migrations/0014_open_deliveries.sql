-- Lists and counts of what is not at its end stay quick beside a million deliveries that are, or that are owed elsewhere.
-- Owner: src/routing.
create index delivery_open on delivery (destination, state, id) include (committing)
  where state in ('owed', 'sending', 'parked');
create index delivery_committing on delivery (destination, id) where committing;
