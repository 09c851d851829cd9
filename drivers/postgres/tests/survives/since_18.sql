-- What servers have since version 18.
CREATE TABLE kinds.virtual (a int, twice int GENERATED ALWAYS AS (a * 2), thrice int GENERATED ALWAYS AS (a * 3) STORED);
INSERT INTO kinds.virtual (a) VALUES (1), (2);
CREATE TABLE kinds.named (a int CONSTRAINT "a has to be" NOT NULL NO INHERIT, b int, c int);
INSERT INTO kinds.named VALUES (1, NULL, NULL);
ALTER TABLE kinds.named ADD CONSTRAINT "b some day" NOT NULL b NOT VALID;
COMMENT ON CONSTRAINT "b some day" ON kinds.named IS 'not yet';
ALTER TABLE kinds.named ADD CONSTRAINT not_enforced CHECK (a > 5) NOT ENFORCED;
CREATE TABLE kinds.at_times (id int4range, at tstzrange, PRIMARY KEY (id, at WITHOUT OVERLAPS));
CREATE TABLE kinds.within_times (id int4range, of int4range, at tstzrange, PRIMARY KEY (id, at WITHOUT OVERLAPS),
    FOREIGN KEY (of, PERIOD at) REFERENCES kinds.at_times (id, PERIOD at));
INSERT INTO kinds.at_times VALUES ('[1,2)', '[2000-01-01,)');
INSERT INTO kinds.within_times VALUES ('[1,2)', '[1,2)', '[2001-01-01,2002-01-01)');
CREATE TABLE kinds.unenforced (a int REFERENCES kinds.plain NOT ENFORCED);
INSERT INTO kinds.unenforced VALUES (-7);
CREATE TABLE kinds.part_not_valid (id int, up int, at int) PARTITION BY RANGE (at);
CREATE TABLE kinds.part_not_valid_1 PARTITION OF kinds.part_not_valid FOR VALUES FROM (0) TO (9);
INSERT INTO kinds.part_not_valid VALUES (1, -1, 1);
ALTER TABLE kinds.part_not_valid ADD CONSTRAINT up FOREIGN KEY (up) REFERENCES kinds.plain NOT VALID;
CREATE PUBLICATION with_generated FOR TABLE kinds.virtual WITH (publish_generated_columns = stored);
ALTER DEFAULT PRIVILEGES FOR ROLE ROLE_ONE GRANT SELECT ON LARGE OBJECTS TO ROLE_TWO;
