-- What servers have since version 17.
CREATE TABLE kinds.of_method (a int, b date) PARTITION BY RANGE (a) USING heaped;
CREATE TABLE kinds.of_method_1 PARTITION OF kinds.of_method FOR VALUES FROM (1) TO (9);
INSERT INTO kinds.of_method VALUES (1, now());
CREATE TABLE kinds.partitioned_identity (a int GENERATED ALWAYS AS IDENTITY, b int) PARTITION BY LIST (b);
CREATE TABLE kinds.partitioned_identity_1 PARTITION OF kinds.partitioned_identity FOR VALUES IN (1);
INSERT INTO kinds.partitioned_identity (b) VALUES (1), (1);
ALTER TABLE kinds.plain ALTER big SET STATISTICS 0;
GRANT MAINTAIN ON kinds.plain TO ROLE_TWO;
CREATE COLLATION kinds.built_in (PROVIDER = builtin, LOCALE = 'C.UTF-8');
CREATE TABLE kinds.built_in (a text COLLATE kinds.built_in);
CREATE INDEX ON kinds.built_in (a);
CREATE SUBSCRIPTION failing_over CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE, failover = true);
CREATE FUNCTION kinds.logged_in() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE EVENT TRIGGER logged_in ON login EXECUTE FUNCTION kinds.logged_in();
