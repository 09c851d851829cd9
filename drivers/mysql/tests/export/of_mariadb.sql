CREATE SEQUENCE numbers_of START WITH 5 INCREMENT BY 3 MAXVALUE 1000 CACHE 7 CYCLE;
SELECT NEXTVAL(numbers_of);
CREATE VIEW v_sequence AS SELECT NEXTVAL(numbers_of) AS n;
CREATE TABLE counted (id int DEFAULT NEXTVAL(numbers_of) PRIMARY KEY, v varchar(40) DEFAULT 'nextval(''x'')');
INSERT INTO counted (v) VALUES ('a'), ('b');
CREATE TABLE versioned (a int PRIMARY KEY, b varchar(9)) WITH SYSTEM VERSIONING;
INSERT INTO versioned VALUES (1, 'old'), (2, 'kept');
UPDATE versioned SET b = 'new' WHERE a = 1;
CREATE TABLE hidden (a int, b int INVISIBLE DEFAULT 3, c int DEFAULT (a + 1), u uuid, i inet6, period_from date, period_to date,
    PERIOD FOR validity (period_from, period_to));
INSERT INTO hidden (a, b, u, i, period_from, period_to) VALUES (1, 2, '123e4567-e89b-12d3-a456-426655440000', '::1', '2020-01-01', '2021-01-01');
CREATE TABLE squeezed (a text COMPRESSED, b blob COMPRESSED) ENGINE = Aria;
INSERT INTO squeezed VALUES (REPEAT('é', 300), x'00ff');
SET sql_mode = 'ORACLE';
CREATE PACKAGE pack AS FUNCTION one RETURN int; END;
CREATE PACKAGE BODY pack AS FUNCTION one RETURN int AS BEGIN RETURN 1; END; END;
SET sql_mode = '';
