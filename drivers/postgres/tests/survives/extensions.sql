-- Extensions, in schemas of their own, and what depends on them.
CREATE SCHEMA "ext %";
CREATE EXTENSION hstore SCHEMA "ext %";
CREATE EXTENSION pg_trgm;
CREATE EXTENSION btree_gist;
CREATE EXTENSION citext SCHEMA "ext %";
COMMENT ON EXTENSION hstore IS 'other words than its own';
CREATE TABLE kinds.of_extension (h "ext %".hstore DEFAULT 'a=>"it''s"', c "ext %".citext PRIMARY KEY, t text, r int4range, i int,
    EXCLUDE USING gist (i WITH =, r WITH &&));
INSERT INTO kinds.of_extension VALUES ('"k \"q\""=>NULL, ""=>"\\"', 'CaSe', 'x', '[1,2)', 1);
CREATE INDEX ON kinds.of_extension USING gin (t gin_trgm_ops);
CREATE INDEX ON kinds.of_extension USING gist (t gist_trgm_ops (siglen = 32));
CREATE FUNCTION kinds.depends() RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER FUNCTION kinds.depends() DEPENDS ON EXTENSION hstore;
REVOKE EXECUTE ON FUNCTION "ext %".akeys("ext %".hstore) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "ext %".akeys("ext %".hstore) TO ROLE_ONE;
CREATE EXTENSION postgres_fdw;
CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'localhost', dbname 'x');
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
