-- Values that are easily spoilt.
CREATE TABLE kinds.texts (n serial, t text, c char(7), v varchar(9), nm name, b bytea, q "char");
INSERT INTO kinds.texts (t, c, v, b) VALUES
    (NULL, NULL, NULL, NULL), ('', '', '', ''), (E'\\N', '\N', '\N', '\x5c4e'), (E'\\.', '\.', '\.', '\x5c2e0a'),
    (E'\t\n\r\b\f\v\\', E'\t', E'\r\n', '\x00ff007f80'), (E'line\\\nfeed\\', ' x ', ' x ', '\x0a0d09'),
    (E'\u0001\u007f\u0080\u00a0\u200b\ufeff\U0001f980\uffff', 'é', '🦀🦀', '\xe9'), ('NULL', 'null', '"', E'\\\\x');
INSERT INTO kinds.texts (t) SELECT string_agg(chr(n), '') FROM generate_series(1, 55000, 7) n WHERE n NOT BETWEEN 55296 AND 57343;
INSERT INTO kinds.texts (t) SELECT repeat(E'\\\n\t', 300000);
CREATE TABLE kinds.numbers (i2 smallint, i4 int, i8 bigint, f4 real, f8 float8, n numeric, m money, o oid, bits bit(9), vb varbit);
INSERT INTO kinds.numbers VALUES (-32768, -2147483648, -9223372036854775808, 'NaN', 'Infinity', 'NaN', '-92233720368547758.08', 4294967295, B'101010101', ''),
    (32767, 2147483647, 9223372036854775807, '-Infinity', '-0', 'Infinity', '12.34', 0, B'000000000', B'1'),
    (NULL, NULL, NULL, 1e-45, 4.9406564584124654e-324, '-Infinity', NULL, NULL, NULL, NULL),
    (0, 0, 0, 3.4028235e38, 1.7976931348623157e308, 1e-1000, 0, 1, NULL, NULL),
    (0, 0, 0, 0.1, 0.30000000000000004, 1e3000 + 0.1, 0, 1, NULL, NULL), (1, 1, 1, 1, 1, 1.00000, 1, 1, NULL, NULL);
CREATE TABLE kinds.times (d date, t time, tz timetz, ts timestamp, tstz timestamptz, i interval, p timestamptz(2));
INSERT INTO kinds.times VALUES ('infinity', '24:00', '00:00+15:59', '-infinity', 'infinity', '-1 year 2 mons -3 days 04:05:06.789012', now()),
    ('4713-01-01 BC', '00:00', '23:59:59.999999-15:59', '4713-01-01 00:00 BC', '4713-11-24 00:00:01 BC', '178000000 years', NULL),
    ('5874897-12-31', NULL, NULL, '294276-12-31 23:59:59.999999', '1883-11-18 12:03:58-4:56:02', '-00:00:00.000001', NULL),
    ('02-03-04', '1:2:3', '1:2:3 UTC', '0044-03-15 BC', '2020-10-25 01:30+01', '1 mon -1 day', '-infinity');
CREATE TABLE kinds.documents (j json, b jsonb, p jsonpath, v tsvector, q tsquery);
INSERT INTO kinds.documents VALUES ('{"b" : 1, "a":1, "a" : [ ]}', '{"b": "\n\t\"\\", "a": 1e400, "": null, "é🦀": [true]}', 'strict $.a[*] ? (@ > 1 && @.b like_regex "^\\d")', '''it''''s'':1A,2 x', '''a b'' <-> !c:*A & (d | e)'),
    ('"\u0000"', '[]', '$', '', '');
CREATE TABLE kinds.arrays (a int[], b text[], c text[][], d kinds.mood[], e kinds.pair[], f kinds.list[], r kinds.spans, l oidvector, z int2vector);
INSERT INTO kinds.arrays VALUES ('[-3:-2][0:1]={{1,NULL},{3,4}}', ARRAY['', 'NULL', NULL, '"', '\', ',', '{}', E'\n', ' '], '{{a,b},{"c d",""}}', '{sad,"it''s \"so-so\"",""}',
    ARRAY[ROW(1, 'a"b\', '{sad}')::kinds.pair, NULL, ROW(NULL, '', NULL)::kinds.pair], NULL, '{[1,2),(3,],(,0)}', '1 2', '-1 2'), ('{}', '{}', NULL, NULL, NULL, ARRAY['{1,2}'::kinds.list], '{}', '', '');
CREATE TABLE kinds.ranges (a int4range, b numrange, c tstzrange, d daterange, e kinds.span, f kinds.text_range, g int8multirange, h datemultirange);
INSERT INTO kinds.ranges VALUES ('empty', '(,)', '[-infinity,infinity)', '(,infinity]', '[NaN,]', '["a,b","c\"d")', '{[1,3),[7,)}', '{}'), (NULL, '[1.10,1.1000]', '(,)', 'empty', '(-Infinity,0)', '(,"")', NULL, '{(,)}');
CREATE TABLE kinds.shapes (p point, l line, s lseg, b box, t path, u path, g polygon, c circle, i inet, n cidr, m macaddr, m8 macaddr8, id uuid, w pg_lsn, x xid8, ti tid);
INSERT INTO kinds.shapes VALUES ('(NaN,-0)', '{1,-1,0.1}', '[(0,1e-300),(1,Infinity)]', '(2,2),(0,0)', '[(0,0),(1,1)]', '((0,0),(1,1))', '((0,0),(1,1),(1,0))', '<(0,0),3>', '::ffff:1.2.3.4/128', '10.1.0.0/16', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'FFFFFFFF/FFFFFFFF', '18446744073709551615', '(4294967295,65535)');
CREATE TABLE kinds.own (m kinds.mood, p kinds.pair, n kinds.nothing, s kinds.small, b kinds.base, r kinds.steps, g regclass, t regtype, f regprocedure, ro regrole, c regconfig);
INSERT INTO kinds.own VALUES ('', '(,,)', '()', 99, E'raw \\ ; "', '[1,5)', 'kinds.texts', 'kinds.mood[]', 'kinds.body(int,int)', 'ROLE_TWO', 'kinds.searched'),
    (NULL, NULL, NULL, 1, '', NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE kinds.wide AS SELECT n AS id, CASE n WHEN 2 THEN repeat('x', 3000000) END AS t, CASE n WHEN 3 THEN decode(repeat('5c00', 700000), 'hex') END AS b FROM generate_series(1, 3) n;

-- Large objects.
SELECT lo_from_bytea(100, '\x00ff0a5c'), lo_from_bytea(101, ''), lo_from_bytea(4294967295, convert_to(repeat('0123456789', 100000), 'UTF8'));
SELECT lo_create(102), lo_put(102, 700000, 'far away');
COMMENT ON LARGE OBJECT 100 IS 'it''s of use';
ALTER LARGE OBJECT 100 OWNER TO ROLE_ONE;
ALTER LARGE OBJECT 101 OWNER TO ROLE_TWO;
GRANT SELECT ON LARGE OBJECT 100 TO PUBLIC;
GRANT SELECT, UPDATE ON LARGE OBJECT 100 TO ROLE_TWO WITH GRANT OPTION;
SET ROLE ROLE_TWO;
GRANT SELECT ON LARGE OBJECT 100 TO pg_monitor;
RESET ROLE;
REVOKE ALL ON LARGE OBJECT 101 FROM ROLE_TWO;
