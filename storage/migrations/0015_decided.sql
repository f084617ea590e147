-- Which conditions of the rule decided, and decisions that are added to and never rewritten: what was decided while a
-- study was held stands beside what was decided when it was released, and of a rule at 'instance' one row counts the
-- instances that met it, another those that did not.

alter table decision
  add column decided jsonb not null default '[]',   -- [{path, attribute, held}], no values
  add column held boolean not null default false,   -- not asked: the study waited for a person
  add column last_at timestamptz;                   -- of a row that counts: when it last counted

update decision set held = true where reason like 'the study is held%';

drop index decision_once;
create unique index decision_once on decision (study_uid, rule, rule_version, unit, study_version, held)
  where rule_at <> 'instance';
drop index decision_counting;
create unique index decision_counting on decision (study_uid, rule, rule_version, matched, held)
  where rule_at = 'instance';
