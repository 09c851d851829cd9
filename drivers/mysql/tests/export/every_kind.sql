CREATE TABLE parent (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, other int, name varchar(40) CHARACTER SET utf8mb4 NOT NULL DEFAULT 'it''s \\ "x"',
    UNIQUE KEY `odd ``name` (name)) AUTO_INCREMENT = 500 COMMENT 'a; b ''c''';
CREATE TABLE child (id bigint unsigned PRIMARY KEY, parent int, twice bigint AS (id * 2) VIRTUAL, thrice bigint AS (id * 3) STORED,
    KEY (thrice), CONSTRAINT to_parent FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE, CHECK (id < 1000000));
ALTER TABLE parent ADD CONSTRAINT to_child FOREIGN KEY (other) REFERENCES parent (id);
INSERT INTO parent (id, other, name) VALUES (1, NULL, 'one'), (2, 1, 'two'), (4, 2, 'é😀');
INSERT INTO child (id, parent) VALUES (10, 1), (11, 4), (12, NULL);
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
INSERT INTO parent (id, name) VALUES (0, 'zero'), (-3, 'negative');
SET sql_mode = '';
CREATE TABLE texts (id int PRIMARY KEY, u4 varchar(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, u3 varchar(50) CHARACTER SET utf8mb3,
    l1 varchar(50) CHARACTER SET latin1, gb varchar(50) CHARACTER SET gbk, sj varchar(50) CHARACTER SET sjis,
    u16 varchar(50) CHARACTER SET utf16, u2 varchar(50) CHARACTER SET ucs2, long_ longtext, b varbinary(300), bl blob, fixed binary(4));
INSERT INTO texts VALUES
    (1, 'a\\b''c"d\n\r\t\0\Z é😀', 'a\\é漢', 'a\\é''', '中文\\', 'ソ表', '慢慢aé😀', '慢慢ab', REPEAT('long é ', 1000), x'00ff0a0d5c2709', x'fffe', 'ab'),
    (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (3, '', '', '', '', '', '', '', '', '', '', ''),
    (4, '\\N', 'NULL', '\\', '\\', '?', 'aa', 'aa', '\r', '\\', 'plain', 'xyz\n'),
    (5, ' trailing ', 'é\r\n', 'é\n', '表', '\\', 'é', '漢', 'é\n\\', 'é', 'é\r', 'abcd');
CREATE TABLE ascii_like (l1 varchar(20) CHARACTER SET latin1, gb varchar(20) CHARACTER SET gbk) CHARACTER SET latin1;
INSERT INTO ascii_like VALUES ('Ã©', '表'), ('é', '中''\\'), ('plain\\', 'x');
CREATE TABLE plain (a varchar(20), b blob, e enum('', 'a', 'é')) CHARACTER SET utf8mb4;
INSERT INTO plain VALUES ('é''\n', 'é', 'a'), ('a\\', x'ff', 'é'), ('x', 'y', '');
CREATE TABLE numbers (id int PRIMARY KEY, t tinyint, u bigint unsigned zerofill, d decimal(65,30), f float, db double, bits bit(17),
    e enum('a', 'b', '1'), s set('x', 'y'), day_ date, at datetime(6), ts timestamp NULL, ti time(3), y year, j json, g point, geo geometry);
INSERT INTO numbers VALUES
    (1, -128, 18446744073709551615, -0.1, 16777217, 1e0 / 3, b'10110000101000001', 'b', 'x,y', '2020-02-29', '2020-01-02 03:04:05.123456',
        '2024-01-02 03:04:05', '-838:59:59', 2024, '{"a": [1, "é", null]}', ST_GeomFromText('POINT(1 2)'), ST_GeomFromText('LINESTRING(0 0, 1 1)')),
    (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (3, 0, 0, 0, -0e0, -0e0, 0, '1', '', '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '00:00:00', 0, '"x"', NULL, NULL),
    (4, 1, 1, 1, 1.17549e-38, 1.7976931348623157e308, 1, 'none of them', 'x', '2020-00-01', '2020-01-00 00:00:00', NULL, '1:2:3', 1901, '1', NULL, NULL);
SET sql_mode = 'ALLOW_INVALID_DATES';
INSERT INTO numbers (id, day_) VALUES (5, '2020-02-31');
SET sql_mode = '';
CREATE TABLE parted (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (YEAR(at)) (PARTITION p0 VALUES LESS THAN (2000),
    PARTITION p1 VALUES LESS THAN MAXVALUE);
INSERT INTO parted VALUES (1, '1999-01-01'), (2, '2020-01-01');
CREATE TABLE nothing (a int);
CREATE TABLE aged (a int, b text, FULLTEXT KEY (b)) ENGINE = MyISAM;
INSERT INTO aged VALUES (1, 'full text');
CREATE VIEW v9 AS SELECT id, name FROM parent WHERE name <> 'a;b';
CREATE VIEW v1 AS SELECT v9.id AS `a;b`, (SELECT MAX(c.id) FROM child c) AS m, 'it''s \\' AS x FROM v9 WHERE EXISTS (SELECT 1 FROM v9 AS q);
CREATE VIEW v_checked AS SELECT id FROM child WHERE id > 0 WITH LOCAL CHECK OPTION;
CREATE SQL SECURITY INVOKER VIEW v5 AS SELECT `a;b` AS v1 FROM v1;
CREATE TABLE gone (a int);
CREATE VIEW broken AS SELECT a FROM gone;
DROP TABLE gone;
DROP VIEW broken;
CREATE FUNCTION f_tax (x int) RETURNS varchar(20) CHARACTER SET latin1 DETERMINISTIC COMMENT 'it''s; é' RETURN CONCAT(x, ';', 'é');
CREATE VIEW v_tax AS SELECT f_tax(id) AS t FROM parent;
SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES';
CREATE PROCEDURE "p;ansi" (INOUT "x y" int) BEGIN SELECT "id" || 'a\' FROM "parent"; SET "x y" = 1; END;
SET sql_mode = '';
SET NAMES latin1;
CREATE PROCEDURE p_latin (OUT x varchar(9)) BEGIN /* kept; é */ SELECT 'é', "b;" /* */ INTO @a, x; END;
SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci;
CREATE TRIGGER b_second BEFORE INSERT ON child FOR EACH ROW SET NEW.parent = COALESCE(NEW.parent, 1);
CREATE TRIGGER a_first BEFORE INSERT ON child FOR EACH ROW PRECEDES b_second BEGIN SET @x = 'a;b'; SET NEW.id = NEW.id + 1000; END;
CREATE TRIGGER after_delete AFTER DELETE ON parent FOR EACH ROW DELETE FROM child WHERE parent = OLD.id;
SET time_zone = '+05:00';
CREATE EVENT daily ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DISABLE COMMENT 'a;b' DO BEGIN DELETE FROM child WHERE id < 0; END;
SET time_zone = '+00:00';
CREATE EVENT later ON SCHEDULE AT '2035-01-01 00:00:00' DO DELETE FROM child;
