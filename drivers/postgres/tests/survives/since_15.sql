-- What servers have since version 15.
CREATE TABLE kinds.one_null (a int, b int, UNIQUE NULLS NOT DISTINCT (a, b));
CREATE TABLE kinds.one_null_more (a int, CONSTRAINT once UNIQUE NULLS NOT DISTINCT (a));
CREATE TABLE kinds.set_some (a int, b int DEFAULT 1, c int, d int,
    FOREIGN KEY (a, b) REFERENCES kinds.referred ON DELETE SET NULL (a), FOREIGN KEY (c, d) REFERENCES kinds.referred ON DELETE SET DEFAULT (d));
CREATE VIEW kinds.as_invoker WITH (security_invoker = true) AS SELECT * FROM kinds.plain;
CREATE PUBLICATION filtered FOR TABLE kinds.plain  WHERE (name <> 'it''s'), kinds.identities (a, c);
CREATE TABLE public.outside (a int PRIMARY KEY);
CREATE PUBLICATION schemas FOR TABLES IN SCHEMA "S; -- 'x""%s\", kinds, TABLE public.outside WHERE (a > 1);
CREATE PUBLICATION chosen FOR TABLE kinds.gaps ("b b", a), kinds.ranged WHERE (at > '2000-01-01') WITH (publish_via_partition_root = true);
CREATE SUBSCRIPTION two_phased CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE, two_phase = on, disable_on_error = true);
CREATE UNLOGGED SEQUENCE kinds.unlogged_sequence;
SELECT nextval('kinds.unlogged_sequence');
