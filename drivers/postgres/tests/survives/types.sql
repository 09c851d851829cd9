-- Types, and what is made of them: functions, operators, casts, text search.
CREATE SCHEMA kinds AUTHORIZATION ROLE_ONE;
COMMENT ON SCHEMA kinds IS 'every kind''s home';
CREATE TYPE kinds.mood AS ENUM ('sad', 'it''s "so-so"', 'glad', '');
ALTER TYPE kinds.mood ADD VALUE 'between' BEFORE 'glad';
CREATE TYPE kinds.pair AS (a int, "B b" text COLLATE "C", gone int, c kinds.mood[]);
ALTER TYPE kinds.pair DROP ATTRIBUTE gone;
COMMENT ON TYPE kinds.pair IS 'two, and then some';
COMMENT ON COLUMN kinds.pair."B b" IS 'the second';
CREATE TYPE kinds.nothing AS ();
CREATE TYPE kinds.span AS RANGE (subtype = float8, subtype_diff = float8mi, multirange_type_name = kinds.spans);
CREATE TYPE kinds.text_range AS RANGE (subtype = text, collation = "C");
CREATE DOMAIN kinds.positive AS int NOT NULL DEFAULT 1 CONSTRAINT is_positive CHECK (VALUE > 0);
CREATE DOMAIN kinds.small AS kinds.positive CONSTRAINT "is % small" CHECK (VALUE < 100);
CREATE DOMAIN kinds.list AS int[] CHECK (array_length(VALUE, 1) < 9);
CREATE DOMAIN kinds.unproved AS text;
COMMENT ON DOMAIN kinds.small IS 'small';
COMMENT ON CONSTRAINT "is % small" ON DOMAIN kinds.small IS 'a bound';
ALTER DOMAIN kinds.small OWNER TO ROLE_ONE;
REVOKE USAGE ON TYPE kinds.small FROM PUBLIC;
GRANT USAGE ON TYPE kinds.small TO ROLE_TWO WITH GRANT OPTION;
REVOKE USAGE ON TYPE kinds.mood FROM PUBLIC;
-- A base type, through its shell.
CREATE TYPE kinds.base;
CREATE FUNCTION kinds.base_in(cstring) RETURNS kinds.base LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION kinds.base_out(kinds.base) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE kinds.base (INPUT = kinds.base_in, OUTPUT = kinds.base_out, INTERNALLENGTH = VARIABLE, STORAGE = extended,
    CATEGORY = 'S', DEFAULT = 'what''s default', DELIMITER = ';', COLLATABLE = true);
ALTER TYPE kinds.base OWNER TO ROLE_ONE;
-- A range with a canonical form needs its shell as well.
CREATE TYPE kinds.steps;
CREATE FUNCTION kinds.canonical(kinds.steps) RETURNS kinds.steps LANGUAGE internal IMMUTABLE STRICT AS 'int4range_canonical';
CREATE TYPE kinds.steps AS RANGE (subtype = int4, canonical = kinds.canonical);

CREATE FUNCTION kinds.f(a int, b text DEFAULT 'x''y\z', OUT c int, VARIADIC d numeric[] DEFAULT '{1,NaN}') RETURNS int
    LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 7 LEAKPROOF AS 'SELECT 1';
CREATE FUNCTION kinds.f(text) RETURNS SETOF kinds.pair LANGUAGE plpgsql ROWS 77 SECURITY DEFINER
    SET search_path = kinds, "$user", pg_temp SET work_mem = '3MB' SET DateStyle = 'German, DMY'
    AS $_$ BEGIN -- $$ and '
        RETURN QUERY SELECT 1, $1, ARRAY['sad'::kinds.mood]; END $_$;
CREATE FUNCTION kinds."F(weird) ; -- '""%"("arg 1" int) RETURNS TABLE ("x y" int, z text) LANGUAGE sql
    AS $$ SELECT $1, E'\\' $$;
COMMENT ON FUNCTION kinds."F(weird) ; -- '""%" IS E'line\nline -- \\ ''"';
CREATE FUNCTION kinds.body(a int, b int DEFAULT 2) RETURNS int LANGUAGE sql IMMUTABLE RETURN a * b;
CREATE FUNCTION kinds.atomic(x int) RETURNS SETOF int LANGUAGE sql BEGIN ATOMIC
    SELECT x; SELECT kinds.body(x, 5) FROM generate_series(1, x); END;
CREATE FUNCTION kinds.poly(a anyelement, b anyarray) RETURNS anyelement LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION kinds.shown() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION kinds.seen() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE FUNCTION kinds.windowed(bigint) RETURNS bigint LANGUAGE internal WINDOW AS 'window_row_number';
CREATE PROCEDURE kinds.act(IN a int, INOUT b text DEFAULT NULL) LANGUAGE plpgsql AS 'BEGIN b := a; END';
CREATE PROCEDURE kinds.act_atomic() LANGUAGE sql BEGIN ATOMIC SELECT kinds.f('x'); END;
COMMENT ON PROCEDURE kinds.act(int, text) IS 'acts';
ALTER FUNCTION kinds.body(int, int) OWNER TO ROLE_ONE;
ALTER PROCEDURE kinds.act(int, text) OWNER TO ROLE_TWO;
REVOKE EXECUTE ON FUNCTION kinds.f(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION kinds.f(text) TO ROLE_TWO;
GRANT EXECUTE ON PROCEDURE kinds.act(int, text) TO ROLE_ONE WITH GRANT OPTION;

CREATE AGGREGATE kinds.total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0', COMBINEFUNC = int4pl, PARALLEL = safe,
    MSFUNC = int4pl, MINVFUNC = int4mi, MSTYPE = int, MINITCOND = '0', SORTOP = <);
CREATE AGGREGATE kinds.ordered(float8 ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal,
    FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA, FINALFUNC_MODIFY = read_write);
CREATE AGGREGATE kinds.hypothetical(VARIADIC "any" ORDER BY VARIADIC "any") (SFUNC = ordered_set_transition_multi,
    STYPE = internal, FINALFUNC = rank_final, FINALFUNC_EXTRA, HYPOTHETICAL);
CREATE AGGREGATE kinds.counted(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0');
COMMENT ON AGGREGATE kinds.total(int) IS 'a sum';
ALTER AGGREGATE kinds.total(int) OWNER TO ROLE_ONE;
GRANT EXECUTE ON FUNCTION kinds.total(int) TO ROLE_TWO;

CREATE OPERATOR kinds.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq, COMMUTATOR = OPERATOR(kinds.===),
    NEGATOR = OPERATOR(kinds.!==), RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
CREATE OPERATOR kinds.!== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4ne, NEGATOR = OPERATOR(kinds.===));
CREATE OPERATOR kinds.-| (RIGHTARG = int, FUNCTION = int4um);
COMMENT ON OPERATOR kinds.-| (NONE, int) IS 'turned over';
ALTER OPERATOR kinds.=== (int, int) OWNER TO ROLE_ONE;
CREATE FUNCTION kinds.backwards(int, int) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT btint4cmp($2, $1)';
CREATE OPERATOR FAMILY kinds.family USING btree;
CREATE OPERATOR CLASS kinds.backwards FOR TYPE int USING btree FAMILY kinds.family AS
    OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 kinds.backwards(int, int);
ALTER OPERATOR FAMILY kinds.family USING btree ADD FUNCTION 1 (int, bigint) btint48cmp(int, bigint), OPERATOR 3 = (int, bigint);
CREATE FUNCTION kinds.hash(kinds.base) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'hashtext';
CREATE OPERATOR CLASS kinds.hashed DEFAULT FOR TYPE kinds.base USING hash AS FUNCTION 1 kinds.hash(kinds.base);
COMMENT ON OPERATOR CLASS kinds.backwards USING btree IS 'the other way round';
COMMENT ON OPERATOR FAMILY kinds.family USING btree IS 'a family';
ALTER OPERATOR CLASS kinds.backwards USING btree OWNER TO ROLE_ONE;
ALTER OPERATOR FAMILY kinds.family USING btree OWNER TO ROLE_TWO;

CREATE CAST (kinds.mood AS int) WITH INOUT AS ASSIGNMENT;
CREATE CAST (kinds.base AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE FUNCTION kinds.as_int(kinds.base) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT length($1::text)';
CREATE CAST (kinds.base AS int) WITH FUNCTION kinds.as_int(kinds.base);
COMMENT ON CAST (kinds.base AS int) IS 'its length';
CREATE CONVERSION kinds.converted FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE DEFAULT CONVERSION kinds.by_default FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
COMMENT ON CONVERSION kinds.converted IS 'converted';
ALTER CONVERSION kinds.converted OWNER TO ROLE_ONE;
CREATE COLLATION kinds.plain (LC_COLLATE = 'C', LC_CTYPE = 'POSIX');
CREATE COLLATION kinds."Ordered %" FROM "C";
COMMENT ON COLLATION kinds."Ordered %" IS 'as bytes';
ALTER COLLATION kinds.plain OWNER TO ROLE_TWO;

CREATE TEXT SEARCH TEMPLATE kinds.template (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH PARSER kinds.parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype,
    HEADLINE = prsd_headline);
CREATE TEXT SEARCH DICTIONARY kinds.words (TEMPLATE = kinds.template, STOPWORDS = english, ACCEPT = 'false');
CREATE TEXT SEARCH DICTIONARY kinds.snow (TEMPLATE = snowball, LANGUAGE = 'german');
CREATE TEXT SEARCH CONFIGURATION kinds.searched (PARSER = kinds.parser);
ALTER TEXT SEARCH CONFIGURATION kinds.searched ADD MAPPING FOR asciiword, word WITH kinds.words, kinds.snow, simple;
ALTER TEXT SEARCH CONFIGURATION kinds.searched ADD MAPPING FOR int WITH simple;
COMMENT ON TEXT SEARCH TEMPLATE kinds.template IS 'a template';
COMMENT ON TEXT SEARCH PARSER kinds.parser IS 'a parser';
COMMENT ON TEXT SEARCH DICTIONARY kinds.words IS 'a dictionary';
COMMENT ON TEXT SEARCH CONFIGURATION kinds.searched IS 'a configuration';
ALTER TEXT SEARCH DICTIONARY kinds.words OWNER TO ROLE_ONE;
ALTER TEXT SEARCH CONFIGURATION kinds.searched OWNER TO ROLE_ONE;

CREATE FUNCTION kinds.called() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE TRUSTED LANGUAGE spoken HANDLER kinds.called;
COMMENT ON LANGUAGE spoken IS 'spoken';
ALTER LANGUAGE spoken OWNER TO ROLE_ONE;
REVOKE USAGE ON LANGUAGE spoken FROM PUBLIC;
GRANT USAGE ON LANGUAGE spoken TO ROLE_TWO;
CREATE FUNCTION kinds.said() RETURNS int LANGUAGE spoken AS 'BEGIN RETURN 1; END';
CREATE ACCESS METHOD heaped TYPE TABLE HANDLER heap_tableam_handler;
CREATE ACCESS METHOD treed TYPE INDEX HANDLER gisthandler;
COMMENT ON ACCESS METHOD heaped IS 'a heap';
CREATE FUNCTION kinds.from_sql(internal) RETURNS internal LANGUAGE internal IMMUTABLE AS 'numeric_support';
CREATE FUNCTION kinds.to_sql(internal) RETURNS kinds.base LANGUAGE internal IMMUTABLE AS 'textin';
CREATE TRANSFORM FOR kinds.base LANGUAGE spoken (FROM SQL WITH FUNCTION kinds.from_sql(internal),
    TO SQL WITH FUNCTION kinds.to_sql(internal));
COMMENT ON TRANSFORM FOR kinds.base LANGUAGE spoken IS 'turned into';
CREATE FUNCTION kinds.turned(kinds.base) RETURNS int LANGUAGE spoken TRANSFORM FOR TYPE kinds.base
    AS 'BEGIN RETURN 1; END';
